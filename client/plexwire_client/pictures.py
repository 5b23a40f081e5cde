"""Frames decoded to images, arrays and temperatures, and thermal scenes: what takes the extra `plexwire[images]`.

    from plexwire_client.pictures import frame_to_array

Without Pillow or numpy it can be imported all the same; what needs them raises `ImagesMissing`, which says what to install.
"""

from plexwire_client._decoding import frame_to_array as frame_to_array
from plexwire_client._decoding import frame_to_image as frame_to_image
from plexwire_client._decoding import frame_to_temps as frame_to_temps
from plexwire_client._thermal_pictures import Temperatures as Temperatures
from plexwire_client._thermal_pictures import make_thermal_scene as make_thermal_scene
