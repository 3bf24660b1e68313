"""Train LeNet on CIFAR-10: 50,000 pictures of 32x32 pixels in ten classes, fetched if they are not there.

python train.py --optimizer momentum

It writes Lenet.pth (the weights of the best epoch), class_indices.json, Lenet_results.png (how it went) and
Lenet_last.pth (what --resume goes on from).
"""

import argparse
import time
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from torch import nn, optim
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from model import LeNet

HERE = Path(__file__).resolve().parent


def transform(images: torch.Tensor) -> torch.Tensor:
    """What ToTensor and Normalize do, for a whole batch [N, 3, 32, 32] at once: bytes 0..255 to 0..1, then to -1..1."""
    mean, std = 0.5, 0.5
    return (images / 255 - mean) / std


# name: (what makes the optimizer, its default learning rate)
OPTIMIZERS = {
    "sgd": (optim.SGD, 0.05),
    "momentum": (lambda params, lr: optim.SGD(params, lr=lr, momentum=0.9), 0.005),
    "adagrad": (optim.Adagrad, 0.01),
    "rmsprop": (optim.RMSprop, 0.001),
    "adam": (lambda params, lr: optim.Adam(params, lr=lr, fused=True), 0.001),  # fused: all weights in one pass
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    parser.add_argument("--data-path", type=Path, default=HERE / "data", help="root that is handed to CIFAR10")
    parser.add_argument("--output-dir", type=Path, default=HERE, help="folder to write to")
    parser.add_argument("--epochs", type=utils.positive_int, default=5, help="times to go through the training set")
    parser.add_argument("--batch-size", type=utils.positive_int, default=36, help="images per step")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="how the weights are improved")
    rates = ", ".join(f"{lr} for {name}" for name, (_, lr) in OPTIMIZERS.items())
    parser.add_argument("--lr", type=utils.learning_rate, help=f"learning rate (default: {rates})")
    parser.add_argument("--workers", type=utils.whole_number, default=0, help="processes that load images")
    parser.add_argument("--seed", type=utils.whole_number, default=0, help="the same seed gives the same numbers again")
    parser.add_argument("--device", type=utils.device, default=utils.default_device(), help="cpu, cuda:0, mps, ...")
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch")
    args = parser.parse_args()
    args.lr = args.lr or OPTIMIZERS[args.optimizer][1]
    return args


def main() -> None:
    args = parse_args()
    device = args.device
    print(f"using {device} device.")

    train_set = utils.open_cifar10(args.data_path, train=True)
    test_set = utils.open_cifar10(args.data_path, train=False)
    # all pictures lie in memory as one array of bytes: [50000, 32, 32, 3] -> [50000, 3, 32, 32]
    train_images = torch.from_numpy(train_set.data).permute(0, 3, 1, 2)
    test_images = transform(torch.from_numpy(test_set.data).permute(0, 3, 1, 2)).to(device)
    test_labels = torch.tensor(test_set.targets)
    train_data = TensorDataset(train_images, torch.tensor(train_set.targets))
    # batch_size=None: the sampler gives 36 indices, and the data set all 36 pictures at once
    sampler = BatchSampler(RandomSampler(train_data), batch_size=args.batch_size, drop_last=False)
    options = utils.loader_options(args.workers, device)
    train_loader = DataLoader(train_data, sampler=sampler, batch_size=None, **options)
    cla_dict = dict(enumerate(("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")))
    print(f"using {len(train_images)} images for training, {len(test_images)} images for testing.")

    save_path = args.output_dir / "Lenet.pth"
    utils.check_output_dir(save_path, cla_dict)  # now, not after an epoch

    torch.manual_seed(args.seed)
    net = LeNet()
    # channels_last keeps the channels of a pixel together in memory, as the fast convolutions want them
    net.to(device, memory_format=torch.channels_last)
    loss_function = nn.CrossEntropyLoss()
    make_optimizer, _ = OPTIMIZERS[args.optimizer]
    optimizer = make_optimizer(net.parameters(), lr=args.lr)

    settings = {  # what a run that is resumed must have in common with the one before
        "model": "LeNet",
        "data": f"{len(train_images)} + {len(test_images)} images",
        "optimizer": args.optimizer,
        "batch_size": args.batch_size,
        "lr": args.lr,
        "seed": args.seed,
    }
    history = utils.new_history()
    if args.resume:
        history = utils.load_checkpoint(save_path, net, optimizer, settings, args.epochs)
    best_acc = max(history["val_accuracy"], default=-1.0)  # so that even an accuracy of 0 is saved at first
    first_epoch = len(history["val_accuracy"])

    def predict_test(images: torch.Tensor) -> torch.Tensor:
        """The classes that the net gives to test images [N, 3, 32, 32]: 200 at a time, which fit into a CPU's cache."""
        net.eval()
        with torch.inference_mode():
            predict_y = torch.cat([net(part).argmax(dim=1) for part in images.split(200)])
        net.train()
        return predict_y.cpu()

    for epoch in range(first_epoch, args.epochs):
        start = time.perf_counter()
        utils.seed_epoch(args.seed, epoch, train_loader)  # an epoch's random numbers do not depend on what ran before
        net.train()
        epoch_loss = torch.zeros((), device=device)
        running_loss = torch.zeros((), device=device)
        for step, (images, labels) in enumerate(train_loader, start=1):
            images = images.to(device, memory_format=torch.channels_last, non_blocking=train_loader.pin_memory)
            labels = labels.to(device, non_blocking=train_loader.pin_memory)
            optimizer.zero_grad()
            outputs = net(transform(images))
            loss = loss_function(outputs, labels)
            loss.backward()
            optimizer.step()

            running_loss += loss.detach()
            epoch_loss += loss.detach()
            if step % 500 == 0:
                predict_y = predict_test(test_images[:5000])
                accuracy = torch.eq(predict_y, test_labels[:5000]).sum().item() / len(predict_y)
                train_loss = running_loss.item() / 500
                print(f"[{epoch + 1}, {step:5d}] train_loss: {train_loss:.3f}  test_accuracy: {accuracy:.3f}")
                running_loss.zero_()

        predict_y = predict_test(test_images)
        accuracy = torch.eq(predict_y, test_labels).sum().item() / len(test_labels)
        train_loss = epoch_loss.item() / len(train_loader)
        print(f"[epoch {epoch + 1}] train_loss: {train_loss:.3f}  test_accuracy: {accuracy:.3f}, all test images")
        utils.check_loss(train_loss)

        history["train_loss"].append(train_loss)
        history["val_accuracy"].append(accuracy)
        if epoch == 0:
            utils.keep_previous(save_path)  # an earlier run's files make room for this run's first
        if accuracy > best_acc:
            best_acc = accuracy
            history["best_predictions"] = predict_y.tolist()
            utils.save_weights(net, save_path, cla_dict)
        utils.save_checkpoint(save_path, net, optimizer, history, settings)
        print(f"epoch {epoch + 1} took {time.perf_counter() - start:.1f} s")

    utils.draw_results(save_path, history, test_labels, list(cla_dict.values()), part="test")
    print("Finished Training")


if __name__ == "__main__":
    utils.run(main, when_stopped="--resume goes on from the last finished epoch, if there is one")
