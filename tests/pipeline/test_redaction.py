"""What is masked in a page: addresses of people and machines, in their own length, and nothing that only looks so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.redaction import personal, redact


@pytest.mark.parametrize(
    ("text", "masked", "emails", "addresses"),
    [
        (b"joe.doe+rc@mail.example.org!", b"xxx.xxx+xx@xxxx.xxxxxxx.xxx!", 1, 0),
        (b'<a href="mailto:a1@b2.de">a1@b2.de</a>', b'<a href="mailto:x0@x0.xx">x0@x0.xx</a>', 2, 0),
        (b"from 203.0.113.77, 10.0.0.1.", b"from 000.0.000.00, 10.0.0.1.", 0, 1),
        (b"seen at 2001:db8::1f", b"seen at 0000:xx0::0x", 0, 1),
        (b'<span data-cfemail="3a4b5c6d7e">x</span>', b'<span data-cfemail="0000000000">x</span>', 1, 0),
        (b'href="/cdn-cgi/l/email-protection#3a4b5c6d7e"', b'href="/cdn-cgi/l/email-protection#0000000000"', 1, 0),
    ],
)
def test_what_is_masked(text: bytes, masked: bytes, emails: int, addresses: int) -> None:
    done = redact(text)
    assert (done.body, done.emails, done.addresses) == (masked, emails, addresses)


@pytest.mark.parametrize(
    "text",
    [
        b'<img src="logo@2x.png">',
        b"jquery-1.13.4.min.js and 1.2.3",
        b"total 11/5:02.345, lap 37.234",
        b"at 10:00:00, 1:02:03",
        b"a::before { content: '' } li::after",
        b"999.999.999.999",
        b"@media screen { p { color: red } }",
    ],
)
def test_what_only_looks_like_an_address_stays(text: bytes) -> None:
    assert redact(text).body == text


def test_what_a_document_says_itself_is_kept() -> None:
    text = b"driver me@race.example, owner you@race.example"
    assert redact(text, personal(b'{"driver_name":"me@race.example"}')).body.startswith(
        b"driver me@race.example, owner xxx@"
    )


@given(st.text(alphabet="ab1.@:<>\"' =-/cfxz", max_size=200).map(str.encode))
def test_length_and_markup_stay_and_masking_twice_changes_nothing(body: bytes) -> None:
    once = redact(body)
    assert len(once.body) == len(body)
    assert [(i, c) for i, c in enumerate(once.body) if c in b"<>\"'= "] == [
        (i, c) for i, c in enumerate(body) if c in b"<>\"'= "
    ]
    again = redact(once.body)
    assert (again.body, again.emails, again.addresses) == (once.body, 0, 0)
