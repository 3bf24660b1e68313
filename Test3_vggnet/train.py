"""Train a VGG on the flower photos, or on your own: --data-path PATH, with PATH/train/<class>/*.jpg and PATH/val/...

It writes vgg16Net.pth (the weights of the best epoch), class_indices.json (the names of the classes), vgg16Net_last.pth
(all that --resume needs), vgg16Net_results.png (loss and accuracy) and vgg16Net_mistakes.png (what went wrong).
"""

import json
import math
import time

import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms

from helpers import (
    ImageFolder,
    ProgressBar,
    keep_previous,
    load_checkpoint,
    run,
    save,
    save_checkpoint,
    train_parser,
)
from model import cfgs, vgg
from plots import draw_mistakes, draw_results

data_transform = {
    "train": transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    ),
    "val": transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    ),
}


def main() -> None:
    parser = train_parser(__doc__, epochs=30, batch_size=32, lr=0.0001)
    parser.add_argument(
        "--model-name", choices=cfgs, default="vgg16", help="which VGG (default: %(default)s)"
    )
    args = parser.parse_args()  # --device, --workers, ...: python train.py --help
    device = args.device
    print(f"using {device} device.")

    train_dataset = ImageFolder(
        args.data_path / "train", transform=data_transform["train"]
    )  # as torchvision's
    validate_dataset = ImageFolder(args.data_path / "val", transform=data_transform["val"])
    train_num, val_num = len(train_dataset), len(validate_dataset)

    flower_list = (
        train_dataset.class_to_idx
    )  # {"daisy": 0, "dandelion": 1, ...}, in the order of the alphabet
    cla_dict = {val: key for key, val in flower_list.items()}  # {0: "daisy", 1: "dandelion", ...}
    save_path = args.output_dir / f"{args.model_name}Net.pth"
    last_path = args.output_dir / f"{args.model_name}Net_last.pth"
    keep_previous(save_path, cla_dict, args.resume)  # an earlier run's files get other names
    save(json.dumps(cla_dict, indent=4), args.output_dir / "class_indices.json")

    pin = device.type == "cuda"  # from pinned memory, the next images go to a GPU while it computes
    train_loader = DataLoader(
        train_dataset,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=pin,
    )
    validate_loader = DataLoader(
        validate_dataset, batch_size=args.batch_size, shuffle=False, num_workers=args.workers
    )
    print(f"using {train_num} images for training, {val_num} images for validation.")

    torch.manual_seed(args.seed)
    net = vgg(args.model_name, num_classes=len(cla_dict), init_weights=True)
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
        (row["val_accuracy"] for row in history), default=-1.0
    )  # any first epoch is better than -1

    for epoch in range(len(history), args.epochs):  # from 0, or on from the epochs that are done
        start = time.time()
        torch.manual_seed(
            1000 * args.seed + epoch + 1
        )  # the epoch's random numbers, also after --resume

        # train
        net.train()  # dropout is on
        running_loss = 0.0
        train_bar = ProgressBar(
            train_loader, f"train epoch[{epoch + 1}/{args.epochs}]"
        )  # shows .loss
        for images, labels in train_bar:
            optimizer.zero_grad()  # 1. forget the gradients of the step before
            with torch.autocast(
                device.type, torch.bfloat16, enabled=args.amp
            ):  # without --amp it changes nothing
                logits = net(
                    images.to(device, non_blocking=pin)
                )  # 2. forward: logits [N, num_classes]
                loss = loss_function(
                    logits, labels.to(device, non_blocking=pin)
                )  # 3. how wrong they are
            loss.backward()  # 4. the gradient of the loss for every weight
            optimizer.step()  # 5. move every weight a little against its gradient
            train_bar.loss = loss.item()
            running_loss += loss.item()

        # validate
        net.eval()  # dropout is off
        acc, running_val_loss = 0, 0.0  # acc: how many are right
        with torch.no_grad():  # without gradients, the results of the layers need not be kept
            for val_images, val_labels in validate_loader:
                outputs = net(val_images.to(device))
                running_val_loss += loss_function(outputs, val_labels.to(device)).item()
                predict_y = torch.max(outputs, dim=1)[1]  # the places of the largest logits
                acc += torch.eq(predict_y, val_labels.to(device)).sum().item()

        train_loss, val_loss = (
            running_loss / len(train_loader),
            running_val_loss / len(validate_loader),
        )
        val_accurate = acc / val_num
        print(f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  val_accuracy: {val_accurate:.3f}")
        if not math.isfinite(train_loss):
            raise SystemExit(
                f"error: the loss is {train_loss}: training has diverged. Try a smaller --lr"
            )

        history.append(
            {
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_accuracy": val_accurate,
                "amp": args.amp,
            }
        )
        if val_accurate > best_acc:
            best_acc = val_accurate
            history[-1]["best"] = True  # for the picture
            save(net.state_dict(), save_path)
        save_checkpoint(
            last_path, history, net=net, optimizer=optimizer
        )  # after all that an epoch changes
        if (
            time.time() - start > 30 or epoch + 1 == args.epochs
        ):  # drawing would lengthen short epochs
            draw_results(save_path, history)
        print(
            f"epoch {epoch + 1} took {time.time() - start:.1f} s, {train_bar.waited:.1f} s of it waiting for images"
        )

    print("Finished Training")
    print(f"best val_accuracy: {best_acc:.3f}, with the weights in {save_path}")
    net.load_state_dict(torch.load(save_path, map_location=device, weights_only=True))
    draw_mistakes(save_path, net, validate_loader, cla_dict)


if __name__ == "__main__":
    run(main)
