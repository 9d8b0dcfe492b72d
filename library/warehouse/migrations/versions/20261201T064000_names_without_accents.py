"""Stored names for searches have no letters such as ł and ø, as searches do not have them any more.

The program makes these names in `library.sources.fhir.names`. Texts of names without a family or given name are searched
when a newer reader reads their patients again.

Revision ID: 20261201T064000
Revises: 20261201T061500
"""

from alembic import op

revision = "20261201T064000"
down_revision = "20261201T061500"
branch_labels = None
depends_on = None

_FOLD = """
UPDATE fhir.patient SET search_names = string_to_array(translate(
    replace(replace(replace(array_to_string(search_names, ','), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
    'ðđøłħıȷŋŧƶƀɓƈȼɖɗəɛɇƒǥɠɦɨɉƙƚɲɔɵƥɋɍƭʉʋƴɏ',
    'ddolhijntzbbccddeeefgghijklnoopqrtuvyy'), ',')
WHERE array_to_string(search_names, ',') ~ '[æœþðđøłħıȷŋŧƶƀɓƈȼɖɗəɛɇƒǥɠɦɨɉƙƚɲɔɵƥɋɍƭʉʋƴɏ]'
"""


def upgrade() -> None:
    op.execute(_FOLD)


def downgrade() -> None:
    """The letters are lost. A reload of older readers makes the names again."""
