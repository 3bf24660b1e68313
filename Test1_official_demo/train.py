"""Train LeNet on CIFAR-10: 50,000 pictures of 32x32 pixels in ten classes, fetched if they are not there.

It writes Lenet.pth (the weights of the best epoch), class_indices.json (the names of the classes), Lenet_last.pth (all
that --resume needs), Lenet_results.png (loss and accuracy) and Lenet_mistakes.png (what went wrong).
"""

import json
import math
import time

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision import transforms

from cifar10 import open_cifar10
from helpers import HERE, keep_previous, load_checkpoint, run, save, save_checkpoint, train_parser
from model import LeNet
from plots import draw_mistakes, draw_results

transform = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
)
classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def main() -> None:
    parser = train_parser(__doc__, epochs=5, batch_size=36, lr=0.001)
    parser.set_defaults(
        data_path=HERE / "data", workers=0
    )  # the pictures lie in memory: no process need load them
    args = parser.parse_args()  # --device, --workers, ...: python train.py --help
    device = args.device
    print(f"using {device} device.")

    train_set = open_cifar10(args.data_path, train=True, transform=transform, download=True)
    test_set = open_cifar10(args.data_path, train=False, transform=transform, download=True)
    print(f"using {len(train_set)} images for training, {len(test_set)} images for testing.")
    # without augmentation a picture is the same in every epoch, so each is transformed once
    train_images, test_images = (
        torch.stack([image for image, _ in data]) for data in (train_set, test_set)
    )
    train_set = TensorDataset(
        train_images, torch.tensor(train_set.targets)
    )  # [50000, 3, 32, 32] and [50000]
    test_set = TensorDataset(test_images, torch.tensor(test_set.targets))

    cla_dict = dict(enumerate(classes))  # {0: "plane", 1: "car", ...}
    save_path, last_path = args.output_dir / "Lenet.pth", args.output_dir / "Lenet_last.pth"
    keep_previous(save_path, cla_dict, args.resume)  # an earlier run's files get other names
    save(json.dumps(cla_dict, indent=4), args.output_dir / "class_indices.json")

    train_loader = DataLoader(
        train_set, batch_size=args.batch_size, shuffle=True, num_workers=args.workers
    )
    test_loader = DataLoader(test_set, batch_size=200, shuffle=False, num_workers=args.workers)
    test_part = DataLoader(
        Subset(test_set, range(min(5000, len(test_set)))), batch_size=200, shuffle=False
    )

    torch.manual_seed(args.seed)
    net = LeNet()
    # channels_last, a pixel's channels side by side: convolutions are faster so on CPUs, and on GPUs in bfloat16
    layout = torch.channels_last if device.type == "cpu" or args.amp else torch.contiguous_format
    net.to(device, memory_format=layout)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(
        net.parameters(), lr=args.lr, fused=True
    )  # fused: all weights in one pass over memory

    history = []  # one dict per epoch; each column of numbers is drawn
    if args.resume:
        history = load_checkpoint(
            last_path, net=net, optimizer=optimizer
        )  # brings both to where they were
        args.amp |= history[-1].get("amp", False)  # what began in bfloat16 goes on in it
    best_acc = max(
        (row["test_accuracy"] for row in history), default=-1.0
    )  # any first epoch is better than -1

    def test(loader: DataLoader) -> tuple[float, float]:
        """Mean loss and accuracy on the pictures of a loader."""
        acc, test_loss = 0, 0.0  # acc: how many are right
        net.eval()
        with torch.no_grad():  # without gradients, the results of the layers need not be kept
            for test_images, test_labels in loader:
                outputs = net(test_images.to(device))
                test_loss += loss_function(outputs, test_labels.to(device)).item()
                predict_y = torch.max(outputs, dim=1)[1]  # the places of the largest logits
                acc += torch.eq(predict_y, test_labels.to(device)).sum().item()
        net.train()  # back to training
        return test_loss / len(loader), acc / len(loader.dataset)

    for epoch in range(len(history), args.epochs):  # from 0, or on from the epochs that are done
        start = time.time()
        torch.manual_seed(
            1000 * args.seed + epoch + 1
        )  # the epoch's random numbers, also after --resume

        # train
        net.train()
        running_loss, epoch_loss = 0.0, 0.0
        for step, (inputs, labels) in enumerate(train_loader, start=1):
            optimizer.zero_grad()  # 1. forget the gradients of the step before
            with torch.autocast(
                device.type, torch.bfloat16, enabled=args.amp
            ):  # without --amp it changes nothing
                outputs = net(inputs.to(device))  # 2. forward: logits [N, 10]
                loss = loss_function(
                    outputs, labels.to(device)
                )  # 3. how wrong they are, as one number
            loss.backward()  # 4. the gradient of the loss for every weight
            optimizer.step()  # 5. move every weight a little against its gradient
            running_loss += loss.item()
            epoch_loss += loss.item()
            if step % 500 == 0:
                test_accuracy = test(test_part)[1]
                print(
                    f"[{epoch + 1}, {step:5d}] train_loss: {running_loss / 500:.3f}  test_accuracy: {test_accuracy:.3f}"
                )
                running_loss = 0.0

        # test
        test_loss, test_accuracy = test(test_loader)
        train_loss = epoch_loss / len(train_loader)
        print(
            f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  test_accuracy: {test_accuracy:.3f}, all test images"
        )
        if not math.isfinite(train_loss):
            raise SystemExit(
                f"error: the loss is {train_loss}: training has diverged. Try a smaller --lr"
            )

        history.append(
            {
                "train_loss": train_loss,
                "test_loss": test_loss,
                "test_accuracy": test_accuracy,
                "amp": args.amp,
            }
        )
        if test_accuracy > best_acc:
            best_acc = test_accuracy
            history[-1]["best"] = True  # for the picture
            save(net.state_dict(), save_path)
        save_checkpoint(
            last_path, history, net=net, optimizer=optimizer
        )  # after all that an epoch changes
        if (
            time.time() - start > 30 or epoch + 1 == args.epochs
        ):  # drawing would lengthen short epochs
            draw_results(save_path, history)
        print(f"epoch {epoch + 1} took {time.time() - start:.1f} s")

    print("Finished Training")
    print(f"best test_accuracy: {best_acc:.3f}, with the weights in {save_path}")
    net.load_state_dict(torch.load(save_path, map_location=device, weights_only=True))
    draw_mistakes(save_path, net, test_loader, cla_dict)


if __name__ == "__main__":
    run(main)
