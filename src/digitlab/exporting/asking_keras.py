"""Answer images with a Keras model, in a process of its own: ``asking_keras.py MODEL IMAGES.npy ANSWERS.npy``.

It prints Keras' version and backend. Exit code 3 means that Keras or its backend is not installed.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Read the three paths from the command line and do it."""
    model_path, images_path, answers_path = sys.argv[1:4]
    try:
        import keras
    except ImportError:
        return 3
    import numpy as np

    # The file was written a moment ago by the process that asks.
    model = keras.saving.load_model(model_path, compile=False)
    np.save(answers_path, np.asarray(keras.ops.convert_to_numpy(model(np.load(images_path)))))
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
