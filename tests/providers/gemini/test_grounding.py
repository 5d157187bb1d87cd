"""Searches as Google bills them: by the answer up to Gemini 2, by the query since Gemini 3, and maps by themselves."""

import pytest

from providers.gemini.grounding import Grounding

SEARCH, MAPS = "gemini_google_search", "gemini_google_maps"
OLD, NEW = "gemini-2.5-flash", "gemini-3-flash-preview"
WEB_CHUNK, MAP_CHUNK = {"web": {"uri": "u"}}, {"maps": {"placeId": "p"}}


def billed(model, *chunks, tools=(SEARCH,)):
    grounding = Grounding(frozenset(tools))
    for candidates in chunks:
        for metadata in candidates:
            grounding.note(metadata)
        grounding.end_chunk()
    return grounding.billed(model)


@pytest.mark.parametrize(
    ("metadata", "tools", "old", "new"),
    [
        ({"webSearchQueries": ["a", "b", "c"]}, [SEARCH], (1, 0), (3, 0)),
        ({"imageSearchQueries": ["a", "b"]}, [SEARCH], (1, 0), (2, 0)),
        ({"webSearchQueries": ["a"], "imageSearchQueries": ["b"]}, [SEARCH], (1, 0), (2, 0)),
        ({"groundingChunks": [MAP_CHUNK]}, [MAPS], (1, 1), (1, 1)),
        ({"googleMapsWidgetContextToken": "w"}, [MAPS], (1, 1), (1, 1)),
        ({"webSearchQueries": ["a", "b"], "groundingChunks": [MAP_CHUNK]}, [MAPS], (1, 1), (2, 2)),
        ({"webSearchQueries": ["a", "b"]}, [MAPS], (1, 1), (2, 2)),
        ({"webSearchQueries": ["a"], "groundingChunks": [MAP_CHUNK]}, [MAPS, SEARCH], (1, 1), (1, 1)),
        ({"webSearchQueries": ["a"], "groundingChunks": [MAP_CHUNK, WEB_CHUNK]}, [MAPS, SEARCH], (2, 1), (1, 1)),
        ({"webSearchQueries": ["a", "b"]}, [MAPS, SEARCH], (1, 0), (2, 0)),
        ({"groundingChunks": [WEB_CHUNK]}, [SEARCH, "gemini_url_context"], (0, 0), (0, 0)),
        ({}, [MAPS, SEARCH], (0, 0), (0, 0)),
        ({"webSearchQueries": [], "groundingChunks": []}, [SEARCH], (0, 0), (0, 0)),
        ({"webSearchQueries": ["", None]}, [SEARCH], (0, 0), (0, 0)),
        (None, [SEARCH], (0, 0), (0, 0)),
        ({"webSearchQueries": 5, "groundingChunks": {"maps": {}}}, [MAPS], (0, 0), (0, 0)),
    ],
)
def test_what_is_billed(metadata, tools, old, new):
    assert billed(OLD, [metadata], tools=tools) == old
    assert billed(NEW, [metadata], tools=tools) == new


def test_candidates_of_a_chunk_add_up_and_chunks_do_not():
    one, two = {"webSearchQueries": ["a"]}, {"webSearchQueries": ["a", "b"]}
    assert billed(NEW, [one, two], [one], [two]) == (3, 0)
