"""Train as train.py does, on several GPUs.

    torchrun --standalone --nproc_per_node=2 train_multi_gpu.py

Each process has a GPU (or, with --device cpu, some of the CPU's cores), its own share of the
images, and a copy of the net. After each backward pass the gradients are averaged over the
processes, so the copies stay the same. The options are train.py's; --batch-size is per process, so
a step takes batch size x processes images.
"""

import json
import math
import os
import time

import torch
from torch import distributed, nn, optim
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler, Subset

from helpers import (
    LOCKS,
    DataLoader,
    ImageFolder,
    ProgressBar,
    begin_run,
    claim_folder,
    manual_seed,
    read_file,
    read_weights,
    restore,
    run,
    save,
    save_checkpoint,
    train_parser,
)
from model import resnets
from plots import draw_results, draw_validation
from pretrained import find_weights, load_fc, split_fc
from train import data_transform


def start_process_group(device: torch.device) -> None:
    """Let the processes meet: torchrun tells each in its environment where the others are."""
    if "LOCAL_RANK" not in os.environ:
        raise SystemExit(
            "error: start it with torchrun: "
            "torchrun --standalone --nproc_per_node=2 train_multi_gpu.py"
        )
    if device.type == "cuda":
        if not distributed.is_nccl_available():
            raise SystemExit(
                "error: this torch has no NCCL, with which GPUs exchange gradients; "
                "there is none for Windows: use Linux (in WSL)"
            )
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl", device_id=device)
    elif device.type == "cpu":
        distributed.init_process_group("gloo")
    else:
        raise SystemExit(
            f"error: several processes cannot share {device}: train.py, or --device cpu"
        )


def main() -> None:
    parser = train_parser(__doc__, epochs=3, batch_size=16, lr=0.0001)
    parser.add_argument(
        "--model-name",
        choices=resnets,
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
    if args.freeze_layers and args.weights == "none":
        parser.error("--freeze-layers needs trained weights, and --weights is none")
    if args.resume and args.weights not in (None, "none"):
        parser.error("--resume goes on with the weights of the run: leave out --weights")
    device = torch.device(args.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    start_process_group(device)
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    if rank == 0:  # it alone speaks of the run, and writes files
        print(f"using {world_size} processes on {device.type}.")

    train_dataset = ImageFolder(args.data_path / "train", transform=data_transform["train"])
    validate_dataset = ImageFolder(args.data_path / "val", transform=data_transform["val"])
    train_num, val_num = len(train_dataset), len(validate_dataset)
    flower_list = train_dataset.class_to_idx  # {"daisy": 0, "dandelion": 1, ...}, sorted by name
    cla_dict = {val: key for key, val in flower_list.items()}  # {0: "daisy", 1: "dandelion", ...}
    save_name = args.model_name.replace("resn", "resN")  # the lesson's resNet34.pth
    save_path = args.output_dir / f"{save_name}.pth"
    last_path = args.output_dir / f"{save_name}_last.pth"
    if rank == 0:
        print(f"using {train_num} images for training, {val_num} images for validation.")

    # after a process has died, torchrun --max-restarts starts all of them again; only the dead
    # one's machine counts it
    restarts = torch.tensor(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)), device=device)
    distributed.all_reduce(restarts, distributed.ReduceOp.MAX)
    begun_path = args.output_dir / f".{save_name}_begun"  # last_path is no longer an earlier run's
    if rank == 0 and restarts.item() == 0 and begun_path.exists():
        claim_folder(args.output_dir)  # not while another run is at work there
        begun_path.unlink()
        LOCKS.pop().close()  # begin_run claims it again
    if restarts.item() > 0 and last_path.exists() and begun_path.exists():
        args.resume = True
    from_rank_0 = [args.resume]  # its machine has the files
    distributed.broadcast_object_list(from_rank_0)
    args.resume = from_rank_0[0]

    # each process gets as many images as the others: where they do not divide, some come twice
    sampler = DistributedSampler(train_dataset, shuffle=True, seed=args.seed)
    train_loader = DataLoader(
        train_dataset,
        batch_size=args.batch_size,
        sampler=sampler,
        num_workers=args.workers,
        pin_memory=device.type == "cuda",  # from pinned memory, images go to a GPU faster
    )
    val_share = Subset(validate_dataset, range(rank, val_num, world_size))  # each image in one
    validate_loader = DataLoader(
        val_share, batch_size=args.batch_size, shuffle=False, num_workers=args.workers
    )

    manual_seed(args.seed)
    net = resnets[args.model_name]()  # for the 1000 classes of ImageNet
    fc_weights = {}  # of the last layer
    if rank == 0:
        if args.weights != "none" and not args.resume:  # as in train.py
            weights_path = find_weights(args.model_name, args.weights)
            weights, fc_weights = split_fc(read_weights(weights_path))
            missing_keys, unexpected_keys = net.load_state_dict(weights, strict=False)
            missing_keys = [name for name in missing_keys if not name.startswith("fc.")]
            if missing_keys or unexpected_keys:
                raise SystemExit(
                    f"error: {weights_path} does not fit {args.model_name}: "
                    f"missing {missing_keys[:1]}, unexpected {unexpected_keys[:1]}"
                )
            print(f"weights loaded from {weights_path}")
        begin_run(args, save_path, cla_dict)
        save("", begun_path)
        save(json.dumps(cla_dict, indent=4), args.output_dir / "class_indices.json")
    if args.freeze_layers:
        for param in net.parameters():
            param.requires_grad = False
    in_channel = net.fc.in_features
    net.fc = nn.Linear(in_channel, len(cla_dict))
    load_fc(net.fc, fc_weights)
    net.to(device)
    loss_function = nn.CrossEntropyLoss()
    params = [p for p in net.parameters() if p.requires_grad]
    optimizer = optim.Adam(params, lr=args.lr, fused=True)

    history = []
    best_acc, first_epoch = -1.0, 0
    if args.resume:
        from_rank_0 = [read_file(last_path) if rank == 0 else None]
        distributed.broadcast_object_list(from_rank_0)
        saved = from_rank_0[0]
        resumed = restore(saved, last_path, args, net=net, optimizer=optimizer)
        if rank == 0:
            print(resumed)
        history, best_acc = saved["history"], saved["best_acc"]
        first_epoch = len(history)
        del saved, from_rank_0
    ddp_net = DistributedDataParallel(net)  # all processes start with rank 0's weights

    for epoch in range(first_epoch, args.epochs):
        time_start = time.perf_counter()
        sampler.set_epoch(epoch)  # another order in each epoch
        # another augmentation in each process
        manual_seed((1000 * args.seed + epoch + 1) * world_size + rank)

        # train
        net.train()
        if args.freeze_layers:
            net.eval()
            net.fc.train()
        running_loss, seen = 0.0, 0
        train_bar = ProgressBar(train_loader, f"train epoch[{epoch + 1}/{args.epochs}]")
        for images, labels in train_bar if rank == 0 else train_loader:
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):
                logits = ddp_net(images.to(device))
                loss = loss_function(logits, labels.to(device))
            loss.backward()  # and the mean of all processes' gradients
            optimizer.step()
            train_bar.loss = loss.item()
            running_loss += loss.item() * len(images)
            seen += len(images)
        sums = torch.tensor([running_loss, seen], dtype=torch.float64, device=device)
        distributed.all_reduce(sums)  # over all processes
        train_loss = (sums[0] / sums[1]).item()
        if not math.isfinite(train_loss):
            raise SystemExit(f"error: the loss is {train_loss}: it diverged. Try a smaller --lr")

        # validate
        for buffer in net.buffers():  # batch norm's means differ: all take those that rank 0 saves
            distributed.broadcast(buffer, src=0)
        net.eval()
        val_outputs, val_targets = [], []
        with torch.no_grad():
            for val_images, val_labels in validate_loader:
                val_outputs.append(net(val_images.to(device)).cpu())
                val_targets.append(val_labels)
        shares = [None] * world_size
        distributed.all_gather_object(shares, (val_outputs, val_targets))
        outputs = torch.cat([batch for share in shares for batch in share[0]]).to(device)
        targets = torch.cat([batch for share in shares for batch in share[1]]).to(device)
        val_loss = loss_function(outputs, targets).item()
        predict_y = torch.max(outputs, dim=1)[1]
        val_accurate = (predict_y == targets).sum().item() / val_num

        history.append(
            {"train_loss": train_loss, "val_loss": val_loss, "val_accuracy": val_accurate}
        )
        better = val_accurate > best_acc
        best_acc = max(best_acc, val_accurate)
        if rank == 0:
            print(
                f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  "
                f"val_accuracy: {val_accurate:.3f}"
            )
            if better:
                history[-1]["best"] = True
                save(net.state_dict(), save_path)
            save_checkpoint(
                last_path, args, net=net, optimizer=optimizer, history=history, best_acc=best_acc
            )
            draw_results(save_path, history)
            print(
                f"epoch {epoch + 1} took {time.perf_counter() - time_start:.1f} s, "
                f"{train_bar.waited:.1f} s of it waiting for images"
            )

    distributed.destroy_process_group()
    if rank == 0:
        print("Finished Training")
        print(f"best val_accuracy: {best_acc:.3f}, with the weights in {save_path}")
        net.load_state_dict(torch.load(save_path, map_location=device))
        validate_loader = DataLoader(validate_dataset, batch_size=args.batch_size)
        draw_validation(save_path, net, validate_loader, cla_dict)


if __name__ == "__main__":
    run(main)
