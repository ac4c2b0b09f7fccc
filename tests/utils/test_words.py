from worldmodels.utils.words import listed, number_of, or_meant


def test_one_and_several() -> None:
    assert [number_of(count, "episode") for count in (0, 1, 2000)] == ["0 episodes", "1 episode", "2,000 episodes"]
    assert number_of(2, "batch", "batches") == "2 batches"


def test_a_long_list_is_cut() -> None:
    assert listed([]) == "" and listed(["a", "b"]) == "a, b"
    assert listed([*"abcdef"]) == "a, b, c, d, e, f"
    assert listed([*"abcdefgh"]) == "a, b, c, d, e, f and 2 more"


def test_what_is_spelt_alike_is_offered() -> None:
    known = ["scale", "seed", "stage", "vae"]
    assert [or_meant(name, known) for name in ("scal", "sead", "stagee")] == [
        f"; did you mean {name}?" for name in ("scale", "seed", "stage")
    ]
    assert or_meant("colour", known) == ""
