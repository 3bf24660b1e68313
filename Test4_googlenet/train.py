"""Train GoogLeNet on the flower photos, or on your own: PATH/train/<class>/*.jpg and PATH/val/<class>/*.jpg.

python train.py --data-path PATH

It writes googleNet.pth (the weights of the best epoch), class_indices.json, googleNet_results.png (how it went) and
googleNet_last.pth (what --resume goes on from).
"""

import argparse
import time
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms

from model import GoogLeNet

HERE = Path(__file__).resolve().parent

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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    data_path = HERE.parent / "data_set" / "flower_data"
    parser.add_argument("--data-path", type=Path, default=data_path, help="folder that holds train/ and val/")
    parser.add_argument("--output-dir", type=Path, default=HERE, help="folder to write to")
    parser.add_argument("--epochs", type=utils.positive_int, default=30, help="times to go through the training set")
    parser.add_argument("--batch-size", type=utils.positive_int, default=32, help="images per step")
    parser.add_argument("--lr", type=utils.learning_rate, default=0.0003, help="learning rate of Adam")
    workers = utils.default_workers()
    parser.add_argument("--workers", type=utils.whole_number, default=workers, help="processes that load images")
    parser.add_argument("--seed", type=utils.whole_number, default=0, help="the same seed gives the same numbers again")
    parser.add_argument("--device", type=utils.device, default=utils.default_device(), help="cpu, cuda:0, mps, ...")
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    device = args.device
    print(f"using {device} device.")

    train_dataset = utils.ImageFolder(args.data_path / "train", data_transform["train"], seed=args.seed)
    validate_dataset = utils.ImageFolder(args.data_path / "val", data_transform["val"], classes=train_dataset.classes)
    train_num, val_num = len(train_dataset), len(validate_dataset)
    cla_dict = dict(enumerate(train_dataset.classes))  # {0: "daisy", 1: "dandelion", ...}

    options = utils.loader_options(args.workers, device)  # what makes loading fast
    train_loader = DataLoader(train_dataset, batch_size=args.batch_size, shuffle=True, **options)
    validate_loader = DataLoader(validate_dataset, batch_size=args.batch_size, shuffle=False, **options)
    print(f"using {train_num} images for training, {val_num} images for validation.")

    save_path = args.output_dir / "googleNet.pth"
    utils.check_output_dir(save_path, cla_dict)  # now, not after an epoch

    torch.manual_seed(args.seed)
    net = GoogLeNet(num_classes=len(cla_dict), aux_logits=True, init_weights=True)
    # channels_last keeps the channels of a pixel together in memory, as the fast convolutions want them
    net.to(device, memory_format=torch.channels_last)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=args.lr, fused=True)  # fused: all weights in one pass

    settings = {  # what a run that is resumed must have in common with the one before
        "model": "GoogLeNet",
        "data": utils.fingerprint(train_dataset, validate_dataset),
        "batch_size": args.batch_size,
        "lr": args.lr,
        "seed": args.seed,
    }
    history = utils.new_history()
    if args.resume:
        history = utils.load_checkpoint(save_path, net, optimizer, settings, args.epochs)
    best_acc = max(history["val_accuracy"], default=-1.0)  # so that even an accuracy of 0 is saved at first
    first_epoch = len(history["val_accuracy"])

    for epoch in range(first_epoch, args.epochs):
        start = time.perf_counter()
        utils.seed_epoch(args.seed, epoch, train_loader)  # an epoch's random numbers do not depend on what ran before

        # train
        net.train()
        running_loss = torch.zeros((), device=device)
        train_bar = utils.ProgressBar(train_loader, f"train epoch[{epoch + 1}/{args.epochs}]")
        for images, labels in train_bar:
            # non_blocking: from pinned memory, the next images are on their way while a GPU computes
            images = images.to(device, memory_format=torch.channels_last, non_blocking=train_loader.pin_memory)
            labels = labels.to(device, non_blocking=train_loader.pin_memory)
            optimizer.zero_grad()
            logits, aux_logits2, aux_logits1 = net(images)
            loss0 = loss_function(logits, labels)
            loss1 = loss_function(aux_logits1, labels)
            loss2 = loss_function(aux_logits2, labels)
            loss = loss0 + loss1 * 0.3 + loss2 * 0.3
            loss.backward()
            optimizer.step()

            train_bar.loss = loss.detach()
            running_loss += loss.detach()  # .item() here would make a GPU wait in every step

        # validate
        net.eval()
        predictions = []
        with torch.inference_mode():
            for images, _ in validate_loader:
                images = images.to(device, memory_format=torch.channels_last)
                predictions.append(net(images).argmax(dim=1))
        predict_y = torch.cat(predictions).cpu()
        val_accurate = torch.eq(predict_y, torch.tensor(validate_dataset.targets)).sum().item() / val_num

        train_loss = running_loss.item() / len(train_loader)
        print(f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  val_accuracy: {val_accurate:.3f}")
        utils.check_loss(train_loss)

        history["train_loss"].append(train_loss)
        history["val_accuracy"].append(val_accurate)
        if epoch == 0:
            utils.keep_previous(save_path)  # an earlier run's files make room for this run's first
        if val_accurate > best_acc:
            best_acc = val_accurate
            history["best_predictions"] = predict_y.tolist()
            utils.save_weights(net, save_path, cla_dict)
        utils.save_checkpoint(save_path, net, optimizer, history, settings)
        utils.draw_results(save_path, history, validate_dataset.targets, validate_dataset.classes)
        print(f"epoch {epoch + 1} took {time.perf_counter() - start:.1f} s")

    print("Finished Training")


if __name__ == "__main__":
    utils.run(main, when_stopped="--resume goes on from the last finished epoch, if there is one")
