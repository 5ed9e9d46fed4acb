/**
 * Thresholds of the compact encodings: one object whose fields CONFIG's hooks set and the types read at each edit. Defaults are Redis 7.2's.
 * A lower threshold converts nothing by itself: a value changes its encoding when it is next written, as in Redis.
 */
export const settings = {
  /** Fields a hash may have as a listpack, and the longest field or value in bytes. */
  hashMaxListpackEntries: 128,
  hashMaxListpackValue: 64,
  /** Members a set of integers may have as an intset. */
  setMaxIntsetEntries: 512,
  /** Members a set may have as a listpack, and the longest member in bytes. */
  setMaxListpackEntries: 128,
  setMaxListpackValue: 64,
  /** Members a sorted set may have as a listpack, and the longest member in bytes. */
  zsetMaxListpackEntries: 128,
  zsetMaxListpackValue: 64,
  /** Size of a list's nodes: entries when positive; -1 ... -5: 4, 8, 16, 32, 64 KiB. */
  listMaxListpackSize: -2,
  /** Nodes at either end of a list that stay uncompressed; 0: none is compressed. */
  listCompressDepth: 0,
  /** Elements at least this long get a node of their own (DEBUG QUICKLIST-PACKED-THRESHOLD); 0: when they do not fit a node. */
  quicklistPackedThresholdBytes: 0,
  /** Size of a stream's nodes in bytes and entries; 0: no limit. */
  streamNodeMaxBytes: 4096,
  streamNodeMaxEntries: 100,
  /** Bytes up to which a HyperLogLog stays sparse. */
  hllSparseMaxBytes: 3000,
  /** OBJECT REFCOUNT shows small integers as shared. */
  sharedIntegers: true,
  /** Longest string (proto-max-bulk-len). */
  protoMaxBulkBytes: 512 * 1024 * 1024,
  /** Deletions in the background: what is propagated (UNLINK for DEL) and what FLUSHALL does without a word. */
  lazyfreeLazyEviction: false,
  lazyfreeLazyExpire: false,
  lazyfreeLazyServerDel: false,
  lazyfreeLazyUserDel: false,
  lazyfreeLazyUserFlush: false,
};
