"""A process keeps one model per slot."""

from tasks.ml.loaded import LoadedModels


def test_a_model_is_loaded_once_per_key_and_gives_way_to_the_next() -> None:
    models, loaded = LoadedModels(), list[str]()

    def load(name: str) -> str:
        loaded.append(name)
        return name

    for name in ("a", "a", "b", "a"):
        assert models.get("clip", name, lambda name=name: load(name)) == name  # type: ignore[misc]
    assert models.get("ocr", "a", lambda: "another slot") == "another slot"
    assert loaded == ["a", "b", "a"]
