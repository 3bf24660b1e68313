"""Train as train.py does, on several GPUs, of one machine or of several, with DistributedDataParallel.

torchrun --standalone --nproc_per_node=2 train_multi_gpu.py

Each process has a GPU (or, where there is none, some of the CPU's cores), its own share of the images, and a copy of
the net. After each backward pass the gradients are averaged over the processes, so the copies stay the same.
The options are train.py's. --batch-size is per process: a step takes batch size x processes images. --device cpu
keeps it off the GPUs.
"""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from torch import distributed, nn, optim
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Sampler, Subset

from train import create_net, data_transform, parse_args


class ShareSampler(Sampler):
    """The images of one process: every image is in exactly one share, in another order each epoch.

    torch's DistributedSampler repeats images until all shares are equally long; here some have one image less.
    """

    def __init__(self, total: int, rank: int, world_size: int, seed: int):
        self.total, self.rank, self.world_size, self.seed = total, rank, world_size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(range(self.rank, self.total, self.world_size))

    def batch_sizes(self, batch_size: int) -> list[list[int]]:
        """For each step of an epoch, how many images each of the processes has in it."""
        shares = [len(range(rank, self.total, self.world_size)) for rank in range(self.world_size)]
        return [
            [min(batch_size, max(0, share - start)) for share in shares] for start in range(0, shares[0], batch_size)
        ]

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(utils.mix(self.seed, self.epoch, 1))  # train.py's order
        return iter(torch.randperm(self.total, generator=generator)[self.rank :: self.world_size].tolist())


def start_processes(on_gpus: bool) -> tuple[distributed.Store, int, int, torch.device]:
    """Join the other processes that torchrun has started.

    Returns:
        torchrun's store, which lives on when it starts the processes again; this one's rank, their number, its device
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        raise utils.UserError("start it with torchrun: torchrun --standalone --nproc_per_node=2 train_multi_gpu.py")
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if on_gpus:
        if local_size > torch.cuda.device_count():
            raise utils.UserError(
                f"--nproc_per_node is {local_size}, but the number of GPUs here is {torch.cuda.device_count()}"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local_size))
    store, rank, world_size = next(distributed.rendezvous("env://"))
    group_store = own_part(store, rank, world_size)
    distributed.init_process_group("nccl" if on_gpus else "gloo", store=group_store, rank=rank, world_size=world_size)
    return store, rank, world_size, device


def own_part(store: distributed.Store, rank: int, world_size: int) -> distributed.Store:
    """The part of the store that belongs to this start of all the processes.

    When torchrun starts the processes again, its store holds the addresses of the dead ones. The number of starts
    cannot tell them apart, since each machine counts its own. So rank 0 makes up a name for this start, and the others
    show that they are alive by a word of their own, which the answer to them names.
    """
    word = uuid.uuid4().hex
    if rank > 0:
        store.set(f"word of {rank}", word)
        name = store.get(f"answer to {word}").decode()  # waits for it
        store.set(f"{name} heard by {word}", "yes")
        return distributed.PrefixStore(name, store)
    name, missing = word, set(range(1, world_size))
    give_up = time.monotonic() + 600
    while missing:
        if time.monotonic() > give_up:
            raise utils.UserError(
                f"{len(missing)} of {world_size} processes did not start: see the other machines' lines"
            )
        for other in sorted(missing):
            if store.check([f"word of {other}"]):  # perhaps of a dead process: then it will not hear
                its_word = store.get(f"word of {other}").decode()
                store.set(f"answer to {its_word}", name)
                if store.check([f"{name} heard by {its_word}"]):
                    missing.remove(other)
        time.sleep(0.02)
    return distributed.PrefixStore(name, store)


def gather(value: object) -> list:
    """The `value` of every process, in the order of their ranks."""
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def load_on_rank_0(save_path: Path, net: nn.Module, optimizer: optim.Optimizer, settings: dict, epochs: int) -> dict:
    """Resume from the file that rank 0 has written, perhaps on another machine; all ranks get what it holds.

    The net's weights are handed on by DistributedDataParallel, the optimizer's state and the history here.
    """
    message: list = [None, None, None]
    if distributed.get_rank() == 0:
        try:
            history = utils.load_checkpoint(save_path, net, optimizer, settings, epochs)
            # the state as it lies in the file, on the CPU: a copy that went to this GPU would go to it on all ranks
            message = [history, utils.load_file(utils.last_path(save_path))["optimizer"], None]
        except utils.UserError as error:
            message = [None, None, str(error)]
    distributed.broadcast_object_list(message)
    history, optimizer_state, error = message
    if error:
        raise utils.UserError(error)
    optimizer.load_state_dict(optimizer_state)
    return history


def train(net: DistributedDataParallel, loader: DataLoader, optimizer: optim.Optimizer, text: str) -> float:
    """One epoch: all processes take the same number of steps, together over every image once. Returns the mean loss.

    DistributedDataParallel averages the gradients with equal weight per process. Shares that differ by an image are
    weighted, so that a step follows the mean over all its images; a process that has none left in the last step joins
    in with weight 0.
    """
    loss_function = nn.CrossEntropyLoss()
    device, rank = net.device, distributed.get_rank()
    total_loss = torch.zeros((), device=device)
    bar = utils.ProgressBar(loader, text, quiet=rank != 0)
    batches = iter(bar)
    sizes = loader.sampler.batch_sizes(loader.batch_size)
    for step_sizes in sizes:
        images, labels = next(batches, (torch.zeros(1, 3, 224, 224), torch.zeros(1, dtype=torch.int64)))
        images = images.to(device, memory_format=torch.channels_last, non_blocking=loader.pin_memory)
        labels = labels.to(device, non_blocking=loader.pin_memory)
        weight = step_sizes[rank] * len(step_sizes) / sum(step_sizes)
        optimizer.zero_grad()
        loss = loss_function(net(images), labels) * weight
        loss.backward()
        optimizer.step()
        bar.loss = loss.detach()
        total_loss += loss.detach()
    next(batches, None)  # lets the bar draw its last line
    distributed.all_reduce(total_loss)
    return total_loss.item() / distributed.get_world_size() / len(sizes)


def validate(net: nn.Module, loader: DataLoader, share: range, count: int, device: torch.device) -> torch.Tensor:
    """The classes that the net gives to all `count` validation images [count], each image seen by one process."""
    for buffer in net.buffers():  # batch-norm statistics differ by process: all take those that rank 0 will save
        distributed.broadcast(buffer, 0)
    net.eval()
    predictions = torch.zeros(count, dtype=torch.int64, device=device)
    with torch.inference_mode():
        mine = [net(images.to(device, memory_format=torch.channels_last)).argmax(dim=1) for images, _ in loader]
    if mine:
        predictions[share.start :: share.step] = torch.cat(mine)
    distributed.all_reduce(predictions)  # the others have zeros in this process's places
    return predictions.cpu()


def main() -> nn.Module:
    args = parse_args(description=__doc__)
    store, rank, world_size, device = start_processes(on_gpus=args.device.type == "cuda")
    is_first = rank == 0  # it alone writes files and prints
    say = print if is_first else lambda text: None
    say(f"using {world_size} processes, on {device.type}.")

    train_dataset = utils.ImageFolder(args.data_path / "train", data_transform["train"], seed=args.seed)
    validate_dataset = utils.ImageFolder(args.data_path / "val", data_transform["val"], classes=train_dataset.classes)
    cla_dict = dict(enumerate(train_dataset.classes))
    train_num, val_num = len(train_dataset), len(validate_dataset)
    if train_num < world_size:
        raise utils.UserError(f"{train_num} images are too few for {world_size} processes: each needs one")
    data = utils.fingerprint(train_dataset, validate_dataset)
    if len(set(gather(data))) > 1:
        raise utils.UserError("the machines have different images: --data-path must hold the same files on all of them")
    save_path = args.output_dir / f"{args.model_name.replace('resn', 'resN')}.pth"
    if is_first:
        utils.check_output_dir(save_path, cla_dict)
    say(f"using {train_num} images for training, {val_num} images for validation.")

    options = utils.loader_options(args.workers, device)
    sampler = ShareSampler(train_num, rank, world_size, args.seed)
    train_loader = DataLoader(train_dataset, batch_size=args.batch_size, sampler=sampler, **options)
    share = range(rank, val_num, world_size)
    validate_loader = DataLoader(Subset(validate_dataset, share), batch_size=args.batch_size, **options)

    # if a process died and torchrun has started all of them again, go on from this run's last epoch
    started_before = store.check(["room was made"])
    args.resume = gather(args.resume or (started_before and utils.last_path(save_path).exists()))[0]

    torch.manual_seed(args.seed)
    weights = "none" if args.weights == "none" else "ImageNet's"
    if not is_first:  # rank 0 fetches the weights, and DistributedDataParallel hands them to the others
        args.weights = "none"
    net = create_net(args, num_classes=len(cla_dict))
    if is_first and not args.resume and not started_before:
        utils.keep_previous(save_path)  # before the first epoch: what a restart finds must be this run's
        store.set("room was made", "yes")
    net.to(device, memory_format=torch.channels_last)
    params = [p for p in net.parameters() if p.requires_grad]
    optimizer = optim.Adam(params, lr=args.lr, fused=True)
    settings = {
        "processes": world_size,
        "model": args.model_name,
        "weights": weights,
        "freeze_layers": args.freeze_layers,
        "data": data,
        "batch_size": args.batch_size,
        "lr": args.lr,
        "seed": args.seed,
    }
    history = utils.new_history()
    if args.resume:
        history = load_on_rank_0(save_path, net, optimizer, settings, args.epochs)
    ddp_net = DistributedDataParallel(net, device_ids=[device] if device.type == "cuda" else None)
    best_acc = max(history["val_accuracy"], default=-1.0)  # so that even an accuracy of 0 is saved at first
    first_epoch = len(history["val_accuracy"])

    for epoch in range(first_epoch, args.epochs):
        start = time.perf_counter()
        utils.seed_epoch(args.seed, epoch, train_loader)  # each image has random numbers of its own, on any process
        sampler.epoch = epoch
        net.train(not args.freeze_layers)
        train_loss = train(ddp_net, train_loader, optimizer, f"train epoch[{epoch + 1}/{args.epochs}]")
        predict_y = validate(net, validate_loader, share, val_num, device)
        val_accurate = torch.eq(predict_y, torch.tensor(validate_dataset.targets)).sum().item() / val_num
        say(f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  val_accuracy: {val_accurate:.3f}")
        utils.check_loss(train_loss)

        history["train_loss"].append(train_loss)
        history["val_accuracy"].append(val_accurate)
        if val_accurate > best_acc:
            best_acc = val_accurate
            history["best_predictions"] = predict_y.tolist()
            if is_first:
                utils.save_weights(net, save_path, cla_dict)
        if is_first:
            utils.save_checkpoint(save_path, net, optimizer, history, settings)
            utils.draw_results(save_path, history, validate_dataset.targets, validate_dataset.classes)
        distributed.barrier()  # none starts the next epoch before rank 0 has written this one's files
        say(f"epoch {epoch + 1} took {time.perf_counter() - start:.1f} s")

    distributed.destroy_process_group()
    say("Finished Training")
    return net


if __name__ == "__main__":
    utils.run(main, when_stopped="--resume goes on from the last finished epoch, if there is one")
