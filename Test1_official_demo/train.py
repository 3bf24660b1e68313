"""Train LeNet on CIFAR-10: 50,000 pictures of 32x32 pixels in ten classes, fetched if need be.

It writes Lenet.pth (the weights of the best epoch), class_indices.json (the names of the classes),
Lenet_last.pth (all that --resume needs), Lenet_results.png (loss and accuracy) and
Lenet_mistakes.png (what went wrong).
"""

import json
import math
import time

import torch
from torch import nn, optim
from torch.utils.data import TensorDataset
from torchvision import datasets, transforms

from cifar10 import fetch_cifar10
from helpers import (
    HERE,
    DataLoader,
    begin_run,
    load_checkpoint,
    manual_seed,
    read_weights,
    run,
    save,
    save_checkpoint,
    train_parser,
)
from model import LeNet
from plots import draw_mistakes, draw_results

data_transform = {
    "train": transforms.Compose(
        [
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    ),
    "val": transforms.Compose(
        [
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    ),
}
classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def main() -> None:
    parser = train_parser(__doc__, epochs=5, batch_size=36, lr=0.001)
    parser.set_defaults(data_path=HERE / "data", workers=0)  # such small pictures are read quickly
    args = parser.parse_args()  # --device, --workers, ...: python train.py --help
    device = torch.device(args.device)  # the accelerator that torch finds, else the CPU
    print(f"using {device} device.")

    # every line from here on may be changed, but for those marked as housekeeping: files, resuming
    fetch_cifar10(args.data_path)  # housekeeping: if it fails, one line says what to do
    train_set = datasets.CIFAR10(
        args.data_path, train=True, download=True, transform=data_transform["train"]
    )
    val_set = datasets.CIFAR10(
        args.data_path, train=False, download=True, transform=data_transform["val"]
    )
    print(f"using {len(train_set)} images for training, {len(val_set)} images for testing.")

    cla_dict = dict(enumerate(classes))  # {0: "plane", 1: "car", ...}
    save_path = args.output_dir / "Lenet.pth"
    last_path = args.output_dir / "Lenet_last.pth"
    begin_run(args, save_path, cla_dict)  # housekeeping: an earlier run's files get other names
    save(json.dumps(cla_dict, indent=4), args.output_dir / "class_indices.json")

    train_loader = DataLoader(
        train_set,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=device.type == "cuda",  # from pinned memory, images go to a GPU faster
    )
    manual_seed(args.seed)
    val_loader = DataLoader(val_set, batch_size=len(val_set), num_workers=args.workers)
    val_image, val_label = next(iter(val_loader))  # once: [10000, 3, 32, 32] and [10000]
    test_loader = DataLoader(TensorDataset(val_image, val_label), batch_size=200)

    net = LeNet()
    net.to(device)
    loss_function = nn.CrossEntropyLoss()
    # fused: all weights in one pass over memory; only Adam, AdamW, SGD and Adagrad take it
    optimizer = optim.Adam(net.parameters(), lr=args.lr, fused=True)

    history = []  # one dict per epoch; each column of numbers is drawn
    best_acc, first_epoch = -1.0, 0  # any first epoch is better than -1
    if args.resume:  # housekeeping: everything goes back to where it was
        saved = load_checkpoint(last_path, args, net=net, optimizer=optimizer)
        history, best_acc = saved["history"], saved["best_acc"]
        first_epoch = len(history)

    for epoch in range(first_epoch, args.epochs):
        start = time.time()
        manual_seed(1000 * args.seed + epoch + 1)  # the epoch's random numbers, also after --resume

        # train
        net.train()
        running_loss, epoch_loss, seen = 0.0, 0.0, 0
        for step, (inputs, labels) in enumerate(train_loader, start=1):
            optimizer.zero_grad()  # 1. forget the gradients of the step before
            with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):  # for --amp alone
                outputs = net(inputs.to(device))  # 2. forward: logits [N, 10]
                loss = loss_function(outputs, labels.to(device))  # 3. how wrong they are
            loss.backward()  # 4. the gradient of the loss for every weight
            optimizer.step()  # 5. move every weight a little against its gradient
            running_loss += loss.item()
            epoch_loss += loss.item() * len(inputs)  # the mean is over images
            seen += len(inputs)
            if step % 500 == 0:
                net.eval()
                with torch.no_grad():  # without gradients, the layers' results need not be kept
                    outputs = net(val_image[:5000].to(device))
                    predict_y = torch.max(outputs, dim=1)[1]  # the places of the largest logits
                    right = torch.eq(predict_y, val_label[:5000].to(device)).sum().item()
                net.train()
                print(
                    f"[{epoch + 1}, {step:5d}] train_loss: {running_loss / 500:.3f}  "
                    f"test_accuracy: {right / len(predict_y):.3f}"
                )
                running_loss = 0.0
        train_loss = epoch_loss / seen
        if not math.isfinite(train_loss):
            raise SystemExit(f"error: the loss is {train_loss}: it diverged. Try a smaller --lr")

        # test
        net.eval()
        acc = 0  # how many are right
        test_outputs, test_targets = [], []
        with torch.no_grad():
            for test_images, test_labels in test_loader:
                outputs = net(test_images.to(device))
                predict_y = torch.max(outputs, dim=1)[1]
                acc += torch.eq(predict_y, test_labels.to(device)).sum().item()
                test_outputs.append(outputs)
                test_targets.append(test_labels.to(device))
        test_accuracy = acc / len(val_set)
        test_loss = loss_function(torch.cat(test_outputs), torch.cat(test_targets)).item()
        print(
            f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  "
            f"test_accuracy: {test_accuracy:.3f}, all test images"
        )

        history.append(
            {"train_loss": train_loss, "test_loss": test_loss, "test_accuracy": test_accuracy}
        )
        if test_accuracy > best_acc:
            best_acc = test_accuracy
            history[-1]["best"] = True  # for the picture
            save(net.state_dict(), save_path)
        save_checkpoint(
            last_path, args, net=net, optimizer=optimizer, history=history, best_acc=best_acc
        )
        draw_results(save_path, history)
        print(f"epoch {epoch + 1} took {time.time() - start:.1f} s")

    print("Finished Training")
    print(f"best test_accuracy: {best_acc:.3f}, with the weights in {save_path}")
    net.load_state_dict(read_weights(save_path))
    draw_mistakes(save_path, net, test_loader, cla_dict)


if __name__ == "__main__":
    run(main)
