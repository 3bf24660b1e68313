"""Train LeNet on CIFAR-10: 50,000 pictures of 32x32 pixels in ten classes, fetched if need be.

It writes Lenet.pth (the weights of the best epoch), class_indices.json (the names of the classes),
Lenet_last.pth (all that --resume needs), Lenet_results.png (loss and accuracy), Lenet_mistakes.png
(what went wrong) and Lenet_confusion.png (which class is taken for which).
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
    next_command,
    run,
    save,
    save_checkpoint,
    train_parser,
)
from model import LeNet
from plots import draw_results, draw_validation

data_transform = {  # alike in this lesson; an augmentation would go into "train" alone
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

    # Change any line from here on and see what happens. Lines marked as housekeeping keep files
    # and resuming in order: only add to what they save and load.

    # housekeeping: what download=True does as well, with one line on what to do if it fails
    fetch_cifar10(args.data_path)
    train_set = datasets.CIFAR10(
        root=args.data_path, train=True, download=True, transform=data_transform["train"]
    )
    val_set = datasets.CIFAR10(
        root=args.data_path, train=False, download=True, transform=data_transform["val"]
    )
    print(f"using {len(train_set)} images for training, {len(val_set)} images for testing.")

    cla_dict = dict(enumerate(classes))  # {0: "plane", 1: "car", ...}
    save_path = args.output_dir / "Lenet.pth"
    last_path = args.output_dir / "Lenet_last.pth"  # for --resume
    begin_run(args, save_path, cla_dict)  # housekeeping: an earlier run's files are renamed
    json_str = json.dumps(cla_dict, indent=4)
    save(json_str, args.output_dir / "class_indices.json")  # as the other lessons do

    # torch.utils.data.DataLoader, with random numbers that --resume repeats
    train_loader = DataLoader(
        train_set,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=device.type == "cuda",  # from pinned memory, images go to a GPU faster
    )
    manual_seed(args.seed)  # the same random numbers each time: first weights
    val_loader = DataLoader(val_set, batch_size=len(val_set), shuffle=False)
    val_image, val_label = next(iter(val_loader))  # read once: [10000, 3, 32, 32] and [10000]
    # the same pictures, 200 at a time
    validate_loader = DataLoader(TensorDataset(val_image, val_label), batch_size=200)

    net = LeNet()
    net.to(device)
    loss_function = nn.CrossEntropyLoss()
    # fused=True is for speed; Adam, AdamW and SGD know it (Adagrad too, on a GPU in a new torch)
    optimizer = optim.Adam(net.parameters(), lr=args.lr, fused=True)

    history = []  # one dict per epoch; each column of numbers is drawn
    best_acc, first_epoch = -1.0, 0  # any first epoch is better than -1
    if args.resume:  # housekeeping: everything goes back to where it was
        saved = load_checkpoint(last_path, args, net=net, optimizer=optimizer)
        history, best_acc = saved["history"], saved["best_acc"]
        first_epoch = len(history)

    for epoch in range(first_epoch, args.epochs):
        time_start = time.perf_counter()
        # random numbers by seed and epoch alone, so that --resume repeats them
        manual_seed(1000 * args.seed + epoch + 1)

        # train
        net.train()  # no difference to LeNet, which has neither dropout nor batch norm
        running_loss, epoch_loss, seen = 0.0, 0.0, 0
        for step, (inputs, labels) in enumerate(train_loader, start=0):
            optimizer.zero_grad()  # 1. forget the gradients of the step before
            with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):  # only --amp
                outputs = net(inputs.to(device))  # 2. forward: logits [N, 10]
                loss = loss_function(outputs, labels.to(device))  # 3. how wrong they are
            loss.backward()  # 4. the gradient of the loss for every weight
            optimizer.step()  # 5. move every weight a little against its gradient
            running_loss += loss.item()
            epoch_loss += loss.item() * len(inputs)  # loss is the mean of a batch
            seen += len(inputs)
            if step % 500 == 499:  # every 500 steps, 5,000 of the test images
                net.eval()
                with torch.no_grad():  # without gradients, the layers' results need not be kept
                    val_output = net(val_image[:5000].to(device))
                    predict_y = torch.max(val_output, dim=1)[1]  # the class of the largest logit
                    right = (predict_y == val_label[:5000].to(device)).sum().item()
                    accuracy = right / len(predict_y)
                net.train()
                print(
                    f"[{epoch + 1}, {step + 1:5d}] train_loss: {running_loss / 500:.3f}  "
                    f"test_accuracy: {accuracy:.3f}"
                )
                running_loss = 0.0
        train_loss = epoch_loss / seen
        if not math.isfinite(train_loss):
            raise SystemExit(f"error: the loss is {train_loss}: it diverged. Try a smaller --lr")

        # validate, on all test images
        net.eval()
        acc = 0  # how many are right
        val_outputs, val_targets = [], []
        with torch.no_grad():
            for val_images, val_labels in validate_loader:
                outputs = net(val_images.to(device))
                predict_y = torch.max(outputs, dim=1)[1]
                acc += (predict_y == val_labels.to(device)).sum().item()
                val_outputs.append(outputs)
                val_targets.append(val_labels.to(device))
        val_accurate = acc / len(val_set)
        # of all images at once: a mean of the batches' means is another number
        val_loss = loss_function(torch.cat(val_outputs), torch.cat(val_targets)).item()
        print(
            f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  "
            f"test_accuracy: {val_accurate:.3f}, all test images"
        )

        history.append(
            {"train_loss": train_loss, "test_loss": val_loss, "test_accuracy": val_accurate}
        )
        if val_accurate > best_acc:
            best_acc = val_accurate
            history[-1]["best"] = True  # the picture marks this epoch
            save(net.state_dict(), save_path)  # torch.save, and never half a file
        save_checkpoint(  # housekeeping: all that --resume needs
            last_path, args, net=net, optimizer=optimizer, history=history, best_acc=best_acc
        )
        draw_results(save_path, history)
        print(f"epoch {epoch + 1} took {time.perf_counter() - time_start:.1f} s")

    print("Finished Training")
    print(f"best test_accuracy: {best_acc:.3f}, with the weights in {save_path}")
    # the best epoch's, to draw what they get wrong
    net.load_state_dict(torch.load(save_path, map_location=device))
    draw_validation(save_path, net, validate_loader, cla_dict)
    predict = next_command("predict.py")  # python predict.py, and options that were typed here
    print(f"next: {predict} (a test picture), or {predict} your_photo.jpg")


if __name__ == "__main__":
    run(main)
