"""Train GoogLeNet on the flower photos, or on your own: --data-path PATH.

PATH holds train/<class>/*.jpg and val/<class>/*.jpg. Written are googleNet.pth (the weights of the
best epoch), class_indices.json (the names of the classes), googleNet_last.pth (all that --resume
needs), googleNet_results.png (loss and accuracy), googleNet_mistakes.png (what went wrong) and
googleNet_confusion.png (which class is taken for which).
"""

import json
import math
import time

import torch
from torch import nn, optim
from torchvision import transforms

from helpers import (
    DataLoader,
    ImageFolder,
    ProgressBar,
    begin_run,
    load_checkpoint,
    manual_seed,
    next_command,
    run,
    save,
    save_checkpoint,
    train_parser,
)
from model import GoogLeNet
from plots import draw_results, draw_validation

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
            transforms.Resize((224, 224)),  # both sides; 224 alone would keep the aspect ratio
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    ),
}


def main() -> None:
    parser = train_parser(__doc__, epochs=30, batch_size=32, lr=0.0003)
    args = parser.parse_args()  # --device, --workers, ...: python train.py --help
    device = torch.device(args.device)  # the accelerator that torch finds, else the CPU
    print(f"using {device} device.")

    # Change any line from here on and see what happens. Lines marked as housekeeping keep files
    # and resuming in order: only add to what they save and load.

    # datasets.ImageFolder, of every kind of image that Pillow opens
    train_dataset = ImageFolder(args.data_path / "train", transform=data_transform["train"])
    validate_dataset = ImageFolder(args.data_path / "val", transform=data_transform["val"])
    train_num, val_num = len(train_dataset), len(validate_dataset)

    flower_list = train_dataset.class_to_idx  # {"daisy": 0, "dandelion": 1, ...}, sorted by name
    cla_dict = {val: key for key, val in flower_list.items()}  # {0: "daisy", 1: "dandelion", ...}
    save_path = args.output_dir / "googleNet.pth"
    last_path = args.output_dir / "googleNet_last.pth"  # for --resume
    begin_run(args, save_path, cla_dict)  # housekeeping: an earlier run's files are renamed
    json_str = json.dumps(cla_dict, indent=4)
    save(json_str, args.output_dir / "class_indices.json")

    # torch.utils.data.DataLoader, with random numbers that --resume repeats
    train_loader = DataLoader(
        train_dataset,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=device.type == "cuda",  # from pinned memory, images go to a GPU faster
    )
    validate_loader = DataLoader(
        validate_dataset, batch_size=args.batch_size, shuffle=False, num_workers=args.workers
    )
    print(f"using {train_num} images for training, {val_num} images for validation.")

    manual_seed(args.seed)  # the same first weights each time
    net = GoogLeNet(num_classes=len(cla_dict), aux_logits=True, init_weights=True)
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
        net.train()  # dropout and the auxiliary heads are on
        running_loss, seen = 0.0, 0
        train_bar = ProgressBar(train_loader, f"train epoch[{epoch + 1}/{args.epochs}]")
        for images, labels in train_bar:
            optimizer.zero_grad()  # 1. forget the gradients of the step before
            with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):  # only --amp
                # 2. forward: the logits of the net and of its two heads, [N, num_classes] each
                logits, aux_logits2, aux_logits1 = net(images.to(device))
                # 3. how wrong they are; the auxiliary heads count less
                loss0 = loss_function(logits, labels.to(device))
                loss1 = loss_function(aux_logits1, labels.to(device))
                loss2 = loss_function(aux_logits2, labels.to(device))
                loss = loss0 + loss1 * 0.3 + loss2 * 0.3
            loss.backward()  # 4. the gradient of the loss for every weight
            optimizer.step()  # 5. move every weight a little against its gradient
            train_bar.loss = loss.item()  # the number at the end of the bar
            running_loss += loss.item() * len(images)  # loss is the mean of a batch
            seen += len(images)
        train_loss = running_loss / seen  # with the heads' share, which val_loss is without
        if not math.isfinite(train_loss):
            raise SystemExit(f"error: the loss is {train_loss}: it diverged. Try a smaller --lr")

        # validate
        net.eval()  # dropout and the auxiliary heads are off
        acc = 0  # how many are right
        val_outputs, val_targets = [], []
        with torch.no_grad():  # without gradients, the results of the layers need not be kept
            for val_images, val_labels in validate_loader:
                outputs = net(val_images.to(device))
                predict_y = torch.max(outputs, dim=1)[1]  # the class with the largest logit
                acc += (predict_y == val_labels.to(device)).sum().item()
                val_outputs.append(outputs)
                val_targets.append(val_labels.to(device))
        val_accurate = acc / val_num
        # of all images at once: a mean of the batches' means is another number
        val_loss = loss_function(torch.cat(val_outputs), torch.cat(val_targets)).item()
        print(f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  val_accuracy: {val_accurate:.3f}")

        history.append(
            {"train_loss": train_loss, "val_loss": val_loss, "val_accuracy": val_accurate}
        )
        if val_accurate > best_acc:
            best_acc = val_accurate
            history[-1]["best"] = True  # the picture marks this epoch
            save(net.state_dict(), save_path)  # torch.save, and never half a file
        save_checkpoint(  # housekeeping: all that --resume needs
            last_path, args, net=net, optimizer=optimizer, history=history, best_acc=best_acc
        )
        draw_results(save_path, history)
        print(
            f"epoch {epoch + 1} took {time.perf_counter() - time_start:.1f} s, "
            f"{train_bar.waited:.1f} s of it waiting for images"
        )

    print("Finished Training")
    print(f"best val_accuracy: {best_acc:.3f}, with the weights in {save_path}")
    # the best epoch's, to draw what they get wrong
    net.load_state_dict(torch.load(save_path, map_location=device))
    draw_validation(save_path, net, validate_loader, cla_dict)
    predict = next_command("predict.py")  # python predict.py, and options that were typed here
    print(f"next: {predict} (a validation photo), or {predict} your_photo.jpg")


if __name__ == "__main__":
    run(main)
