"""The specification as data: the clauses, and with them whatever machines can use.

It needs attrs and nothing else.
"""

from plexwire_spec._clauses import Clause as Clause
from plexwire_spec._clauses import Level as Level
from plexwire_spec._clauses import Party as Party
from plexwire_spec._clauses import Source as Source
from plexwire_spec._clauses import clauses as clauses
from plexwire_spec._clauses import read_clauses as read_clauses
