"""SE: Squeeze-and-Excitation.

    s(F) = sigmoid(W2 relu(W1 AvgPool(F) + b1) + b2),  F' = s(F) * F

Hu, Shen, Sun: "Squeeze-and-Excitation Networks", CVPR 2018, eq. 2-4. The layer is that of
`channel.py`, whose pooling defaults to the average here: with `avg+max`, `se` and `channel`
are the same network. How implementations differ stands there too.
"""

from __future__ import annotations

from hypermodels.attention.base import Mechanism
from hypermodels.attention.channel import ChannelAttention

MECHANISM = Mechanism(
    "se",
    ChannelAttention,
    "Squeeze-and-Excitation: a gate for each channel from its average",
    "Hu et al., Squeeze-and-Excitation Networks, CVPR 2018",
    defaults={"channel_pooling": "avg"},
)
