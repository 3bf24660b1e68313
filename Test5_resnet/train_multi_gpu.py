"""Train as train.py does, on several GPUs: torchrun --standalone --nproc_per_node=2 train_multi_gpu.py

Each process has a GPU (or, with --device cpu, some of the CPU's cores), its own share of the images, and a copy of the
net. After each backward pass the gradients are averaged over the processes, so the copies stay the same. The options
are train.py's; --batch-size is per process, so a step takes batch size x processes images.
"""

import json
import math
import os
import time

import torch
from torch import distributed, nn, optim
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, Subset

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
from train import data_transform


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
    args = parser.parse_args()
    if "LOCAL_RANK" not in os.environ:
        raise SystemExit(
            "error: start it with torchrun: torchrun --standalone --nproc_per_node=2 train_multi_gpu.py"
        )

    # torchrun tells each process in its environment who it is, and where the others are
    device = args.device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl", device_id=device)
    else:
        distributed.init_process_group("gloo")
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    if rank == 0:  # it alone prints, and writes files
        print(f"using {world_size} processes on {device.type}.")

    train_dataset = ImageFolder(args.data_path / "train", transform=data_transform["train"])
    validate_dataset = ImageFolder(args.data_path / "val", transform=data_transform["val"])
    train_num, val_num = len(train_dataset), len(validate_dataset)
    cla_dict = {
        val: key for key, val in train_dataset.class_to_idx.items()
    }  # {0: "daisy", 1: "dandelion", ...}
    save_name = args.model_name.replace("resn", "resN")
    save_path, last_path = (
        args.output_dir / f"{save_name}.pth",
        args.output_dir / f"{save_name}_last.pth",
    )

    # after a process has died, torchrun --max-restarts starts all of them again; only the dead one's machine counts it
    restarts = torch.tensor(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)), device=device)
    distributed.all_reduce(restarts, distributed.ReduceOp.MAX)
    resume = [args.resume or (restarts.item() > 0 and last_path.exists())]
    distributed.broadcast_object_list(resume)  # rank 0's answer: its machine has the files
    if rank == 0:
        print(f"using {train_num} images for training, {val_num} images for validation.")

    # each process gets as many images as the others: the sampler repeats an image or two where they do not divide
    sampler = DistributedSampler(train_dataset, shuffle=True, seed=args.seed)
    pin = device.type == "cuda"  # from pinned memory, the next images go to a GPU while it computes
    train_loader = DataLoader(
        train_dataset,
        batch_size=args.batch_size,
        sampler=sampler,
        num_workers=args.workers,
        pin_memory=pin,
    )
    val_share = Subset(
        validate_dataset, range(rank, val_num, world_size)
    )  # each image in one share, and in one alone
    validate_loader = DataLoader(
        val_share, batch_size=args.batch_size, shuffle=False, num_workers=args.workers
    )

    torch.manual_seed(args.seed)
    net = models[args.model_name]()  # for the 1000 classes of ImageNet
    if (
        rank == 0 and args.weights != "none" and not resume[0]
    ):  # DistributedDataParallel gives them to the others
        print(f"weights loaded from {load_pretrained(net, args.model_name, args.weights)}")
    if (
        rank == 0
    ):  # an earlier run's files get other names only now: the weights just read may be one of them
        keep_previous(save_path, cla_dict, resume[0])
        save(json.dumps(cla_dict, indent=4), args.output_dir / "class_indices.json")
    if args.freeze_layers:
        for param in net.parameters():
            param.requires_grad = False
    net.fc = nn.Linear(net.fc.in_features, len(cla_dict))
    layout = torch.channels_last if device.type == "cpu" or args.amp else torch.contiguous_format
    net.to(device, memory_format=layout)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam([p for p in net.parameters() if p.requires_grad], lr=args.lr, fused=True)

    history = []
    if resume[0]:
        if rank == 0:
            history = load_checkpoint(last_path, net=net, optimizer=optimizer)
        message = [history, optimizer.state_dict()]
        distributed.broadcast_object_list(message)  # rank 0's
        history = message[0]
        args.amp |= history[-1].get("amp", False)
        optimizer.load_state_dict(message[1])
    ddp_net = DistributedDataParallel(net)  # all processes start with rank 0's weights
    best_acc = max((row["val_accuracy"] for row in history), default=-1.0)

    for epoch in range(len(history), args.epochs):
        start = time.time()
        sampler.set_epoch(epoch)  # another order in each epoch
        torch.manual_seed(
            (1000 * args.seed + epoch + 1) * world_size + rank
        )  # another augmentation in each process

        # train
        net.train(not args.freeze_layers)
        running_loss = 0.0
        bar = ProgressBar(train_loader, f"train epoch[{epoch + 1}/{args.epochs}]")
        for images, labels in bar if rank == 0 else train_loader:
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):
                logits = ddp_net(images.to(device, non_blocking=pin))
                loss = loss_function(logits, labels.to(device, non_blocking=pin))
            loss.backward()  # and the mean of all processes' gradients
            optimizer.step()
            bar.loss = loss.item()
            running_loss += loss.item()

        # validate
        for buffer in (
            net.buffers()
        ):  # batch norm's means differ by process: all take those that rank 0 saves
            distributed.broadcast(buffer, src=0)
        net.eval()
        acc, val_loss = 0, 0.0
        with torch.no_grad():
            for val_images, val_labels in validate_loader:
                outputs, val_labels = net(val_images.to(device)), val_labels.to(device)
                val_loss += loss_function(outputs, val_labels).item() * len(val_labels)
                acc += torch.eq(torch.max(outputs, dim=1)[1], val_labels).sum().item()

        shares = [running_loss / len(train_loader) / world_size, val_loss / val_num, acc / val_num]
        sums = torch.tensor(shares, device=device)
        distributed.all_reduce(sums)  # over all processes
        train_loss, val_loss, val_accurate = sums.tolist()
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
        if rank == 0:
            print(
                f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  val_accuracy: {val_accurate:.3f}"
            )
            if val_accurate > best_acc:
                history[-1]["best"] = True
                save(net.state_dict(), save_path)
            save_checkpoint(last_path, history, net=net, optimizer=optimizer)
            draw_results(save_path, history)
            print(
                f"epoch {epoch + 1} took {time.time() - start:.1f} s, {bar.waited:.1f} s of it waiting for images"
            )
        best_acc = max(best_acc, val_accurate)

    distributed.destroy_process_group()
    if rank == 0:
        print("Finished Training")
        print(f"best val_accuracy: {best_acc:.3f}, with the weights in {save_path}")
        net.load_state_dict(torch.load(save_path, map_location=device, weights_only=True))
        draw_mistakes(
            save_path, net, DataLoader(validate_dataset, batch_size=args.batch_size), cla_dict
        )


if __name__ == "__main__":
    run(main)
