"""Train a ResNet on the flower photos, or on your own: --data-path PATH, with PATH/train/<class>/*.jpg and PATH/val/...

It writes resNet34.pth (the weights of the best epoch), class_indices.json (the names of the classes), resNet34_last.pth
(all that --resume needs), resNet34_results.png (loss and accuracy) and resNet34_mistakes.png (what went wrong).
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
from model import models
from plots import draw_mistakes, draw_results
from pretrained import load_pretrained

data_transform = {
    "train": transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    ),
    "val": transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    ),
}


def main() -> None:
    parser = train_parser(__doc__, epochs=3, batch_size=16, lr=0.0001)
    parser.add_argument(
        "--model-name",
        choices=models,
        default="resnet34",
        help="which ResNet (default: %(default)s)",
    )
    parser.add_argument(
        "--weights", help="weights file to start from, or none (default: ImageNet's)"
    )
    parser.add_argument(
        "--freeze-layers", action="store_true", help="train the last layer, fc, alone"
    )
    args = parser.parse_args()  # --device, --workers, ...: python train.py --help
    if args.freeze_layers and args.weights == "none":
        parser.error("--freeze-layers needs trained weights, and --weights is none")
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
    save_name = args.model_name.replace("resn", "resN")
    save_path, last_path = (
        args.output_dir / f"{save_name}.pth",
        args.output_dir / f"{save_name}_last.pth",
    )

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
    net = models[args.model_name]()  # for the 1000 classes of ImageNet
    if args.weights != "none" and not args.resume:
        model_weight_path = load_pretrained(
            net, args.model_name, args.weights
        )  # resnet34-pre.pth, fetched if absent
        print(f"weights loaded from {model_weight_path}")
    # an earlier run's files get other names, and not before now: the weights just read may be one of them
    keep_previous(save_path, cla_dict, args.resume)
    save(json.dumps(cla_dict, indent=4), args.output_dir / "class_indices.json")
    if args.freeze_layers:
        for param in net.parameters():
            param.requires_grad = False
    in_channel = net.fc.in_features
    net.fc = nn.Linear(in_channel, len(cla_dict))
    # channels_last, a pixel's channels side by side: convolutions are faster so on CPUs, and on GPUs in bfloat16
    layout = torch.channels_last if device.type == "cpu" or args.amp else torch.contiguous_format
    net.to(device, memory_format=layout)
    loss_function = nn.CrossEntropyLoss()
    params = [p for p in net.parameters() if p.requires_grad]
    optimizer = optim.Adam(
        params, lr=args.lr, fused=True
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
        net.train(
            not args.freeze_layers
        )  # batch norm takes each batch's mean; frozen, it keeps ImageNet's
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
        net.eval()  # batch norm takes the running mean of the batches
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
