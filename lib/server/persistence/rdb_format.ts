/** The bytes of the RDB format: opcodes, value types, length codes. Redis rdb.h; data only. */

/** Highest version that is read; versions from 9 to this one are written. */
export const RDB_VERSION = 11;

// ---- opcodes: where a type byte may stand
export const OP_SLOT_INFO = 244;
export const OP_FUNCTION2 = 245;
export const OP_FUNCTION_PRE_GA = 246;
export const OP_MODULE_AUX = 247;
export const OP_IDLE = 248;
export const OP_FREQ = 249;
export const OP_AUX = 250;
export const OP_RESIZEDB = 251;
export const OP_EXPIRE_MS = 252;
export const OP_EXPIRE_S = 253;
export const OP_SELECTDB = 254;
export const OP_EOF = 255;

// ---- types of values
export const T_STRING = 0;
export const T_LIST = 1;
export const T_SET = 2;
/** Scores as text. */
export const T_ZSET = 3;
export const T_HASH = 4;
/** Scores as 8 bytes. */
export const T_ZSET_2 = 5;
export const T_MODULE_PRE_GA = 6;
export const T_MODULE_2 = 7;
export const T_HASH_ZIPMAP = 9;
export const T_LIST_ZIPLIST = 10;
export const T_SET_INTSET = 11;
export const T_ZSET_ZIPLIST = 12;
export const T_HASH_ZIPLIST = 13;
export const T_LIST_QUICKLIST = 14;
export const T_STREAM_LISTPACKS = 15;
export const T_HASH_LISTPACK = 16;
export const T_ZSET_LISTPACK = 17;
export const T_LIST_QUICKLIST_2 = 18;
export const T_STREAM_LISTPACKS_2 = 19;
export const T_SET_LISTPACK = 20;
export const T_STREAM_LISTPACKS_3 = 21;

// ---- lengths: the two high bits of the first byte
export const LEN_6BIT = 0;
export const LEN_14BIT = 1;
/** First bytes of longer lengths, big endian behind them. */
export const LEN_32BIT = 0x80;
export const LEN_64BIT = 0x81;
/** Not a length: the low six bits say how a string is encoded. */
export const LEN_SPECIAL = 3;

// ---- special strings
export const ENC_INT8 = 0;
export const ENC_INT16 = 1;
export const ENC_INT32 = 2;
export const ENC_LZF = 3;

// ---- containers of quicklist nodes (type 18)
export const NODE_PLAIN = 1;
export const NODE_PACKED = 2;
