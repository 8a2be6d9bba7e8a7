"""Numbers of the NBD protocol under the names its document gives them, and the limits that we set ourselves.

They are plain integers and no enumerations: the request parser compares them for every request, and an
enumeration's member costs several times an integer there. All fields on the wire are big-endian.
What the protocol defines and we do not speak (extended headers, resize) has no name here, except where
we answer it by name.
"""

from __future__ import annotations

from typing import Final

# Magic numbers
NBD_MAGIC: Final = 0x4E42444D41474943  # "NBDMAGIC"
NBD_IHAVEOPT: Final = 0x49484156454F5054  # "IHAVEOPT"
NBD_REP_MAGIC: Final = 0x0003E889045565A9
NBD_REQUEST_MAGIC: Final = 0x25609513
NBD_SIMPLE_REPLY_MAGIC: Final = 0x67446698
NBD_STRUCTURED_REPLY_MAGIC: Final = 0x668E33EF

# Handshake flags (server) and client flags
NBD_FLAG_FIXED_NEWSTYLE: Final = 1 << 0
NBD_FLAG_NO_ZEROES: Final = 1 << 1
NBD_FLAG_C_FIXED_NEWSTYLE: Final = 1 << 0
NBD_FLAG_C_NO_ZEROES: Final = 1 << 1

# Transmission flags
NBD_FLAG_HAS_FLAGS: Final = 1 << 0
NBD_FLAG_READ_ONLY: Final = 1 << 1
NBD_FLAG_SEND_FLUSH: Final = 1 << 2
NBD_FLAG_SEND_FUA: Final = 1 << 3
NBD_FLAG_ROTATIONAL: Final = 1 << 4
NBD_FLAG_SEND_TRIM: Final = 1 << 5
NBD_FLAG_SEND_WRITE_ZEROES: Final = 1 << 6
NBD_FLAG_SEND_DF: Final = 1 << 7
NBD_FLAG_CAN_MULTI_CONN: Final = 1 << 8
NBD_FLAG_SEND_CACHE: Final = 1 << 10
NBD_FLAG_SEND_FAST_ZERO: Final = 1 << 11

# Options
NBD_OPT_EXPORT_NAME: Final = 1
NBD_OPT_ABORT: Final = 2
NBD_OPT_LIST: Final = 3
NBD_OPT_STARTTLS: Final = 5
NBD_OPT_INFO: Final = 6
NBD_OPT_GO: Final = 7
NBD_OPT_STRUCTURED_REPLY: Final = 8
NBD_OPT_LIST_META_CONTEXT: Final = 9
NBD_OPT_SET_META_CONTEXT: Final = 10
NBD_OPT_EXTENDED_HEADERS: Final = 11

# Option replies
NBD_REP_ACK: Final = 1
NBD_REP_SERVER: Final = 2
NBD_REP_INFO: Final = 3
NBD_REP_META_CONTEXT: Final = 4
NBD_REP_ERR_UNSUP: Final = (1 << 31) + 1
NBD_REP_ERR_POLICY: Final = (1 << 31) + 2
NBD_REP_ERR_INVALID: Final = (1 << 31) + 3
NBD_REP_ERR_PLATFORM: Final = (1 << 31) + 4
NBD_REP_ERR_TLS_REQD: Final = (1 << 31) + 5
NBD_REP_ERR_UNKNOWN: Final = (1 << 31) + 6
NBD_REP_ERR_SHUTDOWN: Final = (1 << 31) + 7
NBD_REP_ERR_BLOCK_SIZE_REQD: Final = (1 << 31) + 8
NBD_REP_ERR_TOO_BIG: Final = (1 << 31) + 9

# Information items of INFO and GO
NBD_INFO_EXPORT: Final = 0
NBD_INFO_NAME: Final = 1
NBD_INFO_DESCRIPTION: Final = 2
NBD_INFO_BLOCK_SIZE: Final = 3

# Commands
NBD_CMD_READ: Final = 0
NBD_CMD_WRITE: Final = 1
NBD_CMD_DISC: Final = 2
NBD_CMD_FLUSH: Final = 3
NBD_CMD_TRIM: Final = 4
NBD_CMD_CACHE: Final = 5
NBD_CMD_WRITE_ZEROES: Final = 6
NBD_CMD_BLOCK_STATUS: Final = 7

# Command flags
NBD_CMD_FLAG_FUA: Final = 1 << 0
NBD_CMD_FLAG_NO_HOLE: Final = 1 << 1
NBD_CMD_FLAG_DF: Final = 1 << 2
NBD_CMD_FLAG_REQ_ONE: Final = 1 << 3
NBD_CMD_FLAG_FAST_ZERO: Final = 1 << 4

# Structured replies
NBD_REPLY_FLAG_DONE: Final = 1 << 0
NBD_REPLY_TYPE_NONE: Final = 0
NBD_REPLY_TYPE_OFFSET_DATA: Final = 1
NBD_REPLY_TYPE_OFFSET_HOLE: Final = 2
NBD_REPLY_TYPE_BLOCK_STATUS: Final = 5
NBD_REPLY_TYPE_ERROR: Final = (1 << 15) + 1
NBD_REPLY_TYPE_ERROR_OFFSET: Final = (1 << 15) + 2

# Error values
NBD_SUCCESS: Final = 0
NBD_EPERM: Final = 1
NBD_EIO: Final = 5
NBD_ENOMEM: Final = 12
NBD_EINVAL: Final = 22
NBD_ENOSPC: Final = 28
NBD_EOVERFLOW: Final = 75
NBD_ENOTSUP: Final = 95
NBD_ESHUTDOWN: Final = 108

# Metadata contexts and their status flags
BASE_ALLOCATION: Final = "base:allocation"
NBD_STATE_HOLE: Final = 1 << 0
NBD_STATE_ZERO: Final = 1 << 1
FARSHORE_NAMESPACE: Final = "x-farshore:"
FARSHORE_STATE_DIRTY: Final = 1 << 0

# Limits
NBD_MAX_STRING: Final = 4096  # the protocol's, in bytes of UTF-8
MIN_BLOCK: Final = 1
PREFERRED_BLOCK: Final = 4096
MAX_PAYLOAD: Final = 32 << 20  # of one READ or WRITE; advertised as the maximum block size
MAX_DRAINED_PAYLOAD: Final = 64 << 20  # a WRITE above MAX_PAYLOAD is refused and skipped up to here
MAX_OPTION: Final = 64 << 10  # data of one option that is looked at
MAX_DRAINED_OPTION: Final = 1 << 20  # data of one option that is refused but skipped
MAX_OPTIONS: Final = 1024  # options of one connection
MAX_DESCRIPTORS: Final = 8192  # of one context in one block status reply


def transmission_flags(*, read_only: bool) -> int:
    """The flags we advertise. Negotiation takes SEND_DF away again where replies are not structured."""
    flags = (
        NBD_FLAG_HAS_FLAGS
        | NBD_FLAG_SEND_FLUSH
        | NBD_FLAG_SEND_DF
        | NBD_FLAG_CAN_MULTI_CONN
        | NBD_FLAG_SEND_CACHE
        | NBD_FLAG_SEND_FUA
    )
    if read_only:
        return flags | NBD_FLAG_READ_ONLY
    return flags | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO
