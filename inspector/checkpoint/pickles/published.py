"""Whose code a module is: Python's, a published package's, or a vendor's own.

An attacker has no code of his own on the customer's machine; he calls what is installed there. So a
class of a published package may be somebody's gadget, and one of a vendor's own project is merely
unknown. ``published.txt`` holds the 5,000 packages of the Python Package Index that were downloaded
most in November 2026, as they are imported (lower case, underscores, also without a ``python-`` or
``-core`` around the name), without words that projects give to their own packages (``config``,
``datasets``, ``trainer`` …); ``_IMPORTED_AS`` those whose import name is another, and rarer ones
that are known to reach the system.
"""

from __future__ import annotations

import sys
from pathlib import Path

_IMPORTED_AS = """
    pil cv2 sklearn skimage yaml git bs4 dateutil dotenv jwt openssl crypto cryptodome nacl serial
    usb win32api win32com win32con win32file win32process pythoncom pythonwin wx gi dbus zmq mysqldb
    psycopg2 attr google azure aws_cdk ruamel rest_framework docx pptx fitz magic ldap slugify
    websocket kafka dns socks consul xlib pkg_resources _distutils_hack pylab mpl_toolkits opengl
    vtkmodules faiss igraph umap pywt tables bio rdkit lightning_fabric pytorch_lightning pyximport
    delegator pyro4 pyro5 cupy salt sarge envoy executor fabric2 napalm pythran conda remote_pdb
    rpdb monai mmcv mmengine detectron2 fairseq yolov5 clearml comet_ml neptune aim torchgen
    functorch caffe2 open_clip open_clip_train pip setuptools _pytest py pyasn1 twisted past future
    libfuturize builtins_ cffi pycparser cuda nvidia triton jaxlib flax haiku theano mxnet paddle
    chainer sentence_transformers trl bitsandbytes deepspeed xformers flash_attn numpy torch
    torchvision torchaudio torchdata torchtext thop fvcore iopath mim tvm ftputil smbprotocol smb
    winrm telnetlib3 pwn pwnlib scapy mitmproxy locust supervisor circus honcho pm2 plumbum pyarrow
    nest_asyncio pyodide
"""
_NOT_IN_THIS_PYTHON = (
    "compression annotationlib asynchat asyncore imp distutils smtpd binhex formatter macpath "
    "dummy_threading _bootlocale commands popen2 md5 sha rexec __builtin__ cpickle copy_reg test"
)


def _published() -> frozenset[str]:
    listed = Path(__file__).with_name("published.txt").read_text("ascii").split()
    library = (name.lower() for name in sys.stdlib_module_names)
    return frozenset((*listed, *library, *_IMPORTED_AS.split(), *_NOT_IN_THIS_PYTHON.split()))


_PUBLISHED = _published()


def is_published(module: str) -> bool:
    """Whether ``module`` lies in Python's own library or in a published package."""
    return module.partition(".")[0].lower() in _PUBLISHED
