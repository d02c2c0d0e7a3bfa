"""The TensorFlow.js codelab "Handwritten digit recognition with CNNs", in Python.

python examples/codelab.py
"""

import digitlab as dl
from digitlab import Conv2D, Dense, Flatten, MaxPooling2D


def build_model() -> dl.Sequential:
    """Return the codelab's network: two convolutions, each with max-pooling, and a dense layer with ten answers."""
    return dl.Sequential(
        [
            Conv2D(8, 5, activation="relu", kernel_initializer="variance_scaling"),
            MaxPooling2D(2),
            Conv2D(16, 5, activation="relu", kernel_initializer="variance_scaling"),
            MaxPooling2D(2),
            Flatten(),
            Dense(10, activation="softmax", kernel_initializer="variance_scaling"),
        ]
    )


def main() -> None:
    """Load the images, train for ten epochs, and tell the accuracy of every class."""
    data = dl.MnistData.load()
    model = build_model()
    model.summary()
    images, labels = data.next_train_batch(5500)
    model.fit(images, labels, batch_size=512, epochs=10, validation_data=data.next_validation_batch(1000))
    report = dl.evaluate(model, *data.next_test_batch(500))
    for row in report.per_class:
        print(f"{row.name:6} {row.accuracy:.3f} of {row.n_images}")
    print(f"all    {report.accuracy:.3f} of {report.n_images}")


if __name__ == "__main__":
    main()
