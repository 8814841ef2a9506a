"""Asks a model about one penguin, and shows how a bad record is refused.

python penguins.py [MODEL]

MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default.
"""

import sys

import sidecall

PENGUIN = {
    "island": "Biscoe",
    "sex": None,  # a missing value; the feature may also be left out
    "bill_length_mm": 48.2,
    "bill_depth_mm": 14.3,
    "flipper_length_mm": 215,
    "body_mass_g": 4900,
}


def ask(model: sidecall.Model) -> None:
    answer = model.predict(PENGUIN)
    print(f"label: {answer['label']}")
    print(f"probabilities.Gentoo: {answer['probabilities']['Gentoo']:.4f}")

    try:
        model.predict(PENGUIN | {"bill_length_mm": "long", "body_mass_g": "heavy"})
    except sidecall.Error as error:
        if not error.faults:  # the run itself has failed
            raise
        for fault in error.faults:
            print(f"refused: {fault.message}")


def main() -> None:
    try:
        with sidecall.open(sys.argv[1] if len(sys.argv) > 1 else "penguins.onnx") as model:
            ask(model)
    except sidecall.Error as error:
        sys.exit(f"{error} ({error.code})")


if __name__ == "__main__":
    main()
