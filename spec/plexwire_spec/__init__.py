"""The specification as data: the clauses, and with them whatever machines can use.

It needs attrs and nothing else.
"""

from plexwire_spec._clauses import AREAS as AREAS
from plexwire_spec._clauses import Clause as Clause
from plexwire_spec._clauses import Level as Level
from plexwire_spec._clauses import Party as Party
from plexwire_spec._clauses import Source as Source
from plexwire_spec._clauses import clauses as clauses
from plexwire_spec._clauses import read_clauses as read_clauses
from plexwire_spec._distinct import DistinctCameras as DistinctCameras
from plexwire_spec._distinct import distinct_cameras as distinct_cameras
from plexwire_spec._plays import Place as Place
from plexwire_spec._plays import Play as Play
from plexwire_spec._plays import Reaction as Reaction
from plexwire_spec._plays import plays as plays
from plexwire_spec._schemas import SCHEMAS as SCHEMAS
from plexwire_spec._schemas import asyncapi_text as asyncapi_text
from plexwire_spec._schemas import schemas as schemas
from plexwire_spec._selection import clauses_named as clauses_named
from plexwire_spec._sending import Sending as Sending
from plexwire_spec._sending import sending as sending
from plexwire_spec._text import specification_text as specification_text
from plexwire_spec._vectors import EXAMPLE_KEY as EXAMPLE_KEY
from plexwire_spec._vectors import EXAMPLE_PICTURE as EXAMPLE_PICTURE
from plexwire_spec._vectors import EXAMPLE_SOURCE as EXAMPLE_SOURCE
from plexwire_spec._vectors import VECTOR_FILES as VECTOR_FILES
from plexwire_spec._vectors import Kind as Kind
from plexwire_spec._vectors import Vector as Vector
from plexwire_spec._vectors import vectors as vectors
