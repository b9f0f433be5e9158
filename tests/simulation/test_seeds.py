"""Seeds go by name and number."""

from simbg.simulation.seeds import named_rng


def test_seeds_go_by_name_and_number():
    def draw(*key):
        return named_rng(*key).random()

    keys = (
        (0, "night", 1, 0),
        (1, "night", 1, 0),
        (0, "nights", 1, 0),
        (0, "night", 2, 0),
        (0, "night", 1, 1),
        (0, "night", 0, 1),
        (0, "night", 1),
        (0, "night"),
    )
    first = [draw(*key) for key in keys]
    assert first == [draw(*key) for key in keys]
    assert len(set(first)) == len(keys)
