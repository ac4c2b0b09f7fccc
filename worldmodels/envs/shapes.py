"""Memory of Box2D's shapes. Its Python binding takes the shape of a fixture definition from Python and never frees it,
304 bytes for a polygon; LunarLander's engines alone make one for each spark.
"""

import functools
import sys
from typing import Any

CHANGES_RESULTS = False  # physics copy a definition's shape


def free_shapes() -> None:
    """Have a shape end with the definition that holds it. Nothing where Box2D has not been imported."""
    if "Box2D" in sys.modules:
        _mend(sys.modules["Box2D"].b2FixtureDef)


@functools.cache
def _mend(definition: Any) -> None:
    taking = definition.shape

    def held(self: Any) -> Any:  # itself, not a view of it, which would be left with freed memory
        shape = self.__dict__.get("held")
        return taking.fget(self) if shape is None else shape

    def hold(self: Any, shape: Any) -> None:
        owned = shape is not None and shape.thisown
        taking.fset(self, shape)  # which takes the shape from Python
        if shape is not None:
            shape.thisown = owned
        self.__dict__["held"] = shape  # as long as the definition lives

    definition.shape = property(held, hold, doc=taking.__doc__)
