/**
 * What directives do in the server mode: copies for hot code (watch) and changes that act (hook). Cold. Directives of persistence and
 * replication are applied by those parts themselves.
 */
import type { ClientSettings } from "../clients/settings.ts";
import type { BoolName as BoolDirective, NumberName as NumberDirective } from "../config/redis_rows.ts";
import type { Config } from "../config/config.ts";
import { setLfuPolicy } from "../store/access.ts";
import { settings } from "../store/settings.ts";

/** Directive -> field of the store's settings, for those that are just numbers. */
const STORE_NUMBERS = {
  "hash-max-listpack-entries": "hashMaxListpackEntries",
  "hash-max-listpack-value": "hashMaxListpackValue",
  "set-max-intset-entries": "setMaxIntsetEntries",
  "set-max-listpack-entries": "setMaxListpackEntries",
  "set-max-listpack-value": "setMaxListpackValue",
  "zset-max-listpack-entries": "zsetMaxListpackEntries",
  "zset-max-listpack-value": "zsetMaxListpackValue",
  "list-max-listpack-size": "listMaxListpackSize",
  "list-compress-depth": "listCompressDepth",
  "stream-node-max-bytes": "streamNodeMaxBytes",
  "stream-node-max-entries": "streamNodeMaxEntries",
  "hll-sparse-max-bytes": "hllSparseMaxBytes",
  "proto-max-bulk-len": "protoMaxBulkBytes",
} as const satisfies Partial<Record<NumberDirective, keyof typeof settings>>;

const STORE_BOOLS = {
  "lazyfree-lazy-eviction": "lazyfreeLazyEviction",
  "lazyfree-lazy-expire": "lazyfreeLazyExpire",
  "lazyfree-lazy-server-del": "lazyfreeLazyServerDel",
  "lazyfree-lazy-user-del": "lazyfreeLazyUserDel",
  "lazyfree-lazy-user-flush": "lazyfreeLazyUserFlush",
} as const satisfies Partial<Record<BoolDirective, keyof typeof settings>>;

/** Keeps the store's settings equal to the configuration. */
export function applyStoreConfig(config: Config): void {
  for (const [name, field] of Object.entries(STORE_NUMBERS) as [NumberDirective, keyof typeof settings][])
    config.watch(name, (c) => void ((settings as Record<string, unknown>)[field] = c.number(name)));
  for (const [name, field] of Object.entries(STORE_BOOLS) as [BoolDirective, keyof typeof settings][])
    config.watch(name, (c) => void ((settings as Record<string, unknown>)[field] = c.bool(name)));
  config.watch(["maxmemory-policy", "lfu-log-factor", "lfu-decay-time"], (c) =>
    setLfuPolicy(c.choice("maxmemory-policy").endsWith("lfu"), c.number("lfu-log-factor"), c.number("lfu-decay-time")),
  );
}

/** Keeps what the clients' layer reads equal to the configuration. */
export function applyClientConfig(config: Config, s: ClientSettings, changed: () => void): void {
  const number = (name: NumberDirective, set: (v: number) => void): void => config.watch(name, (c) => set(c.number(name)));
  number("maxclients", (v) => (s.maxClients = v));
  number("timeout", (v) => (s.timeoutSeconds = v));
  number("tcp-keepalive", (v) => (s.tcpKeepaliveSeconds = v));
  number("client-query-buffer-limit", (v) => (s.queryBufferLimitBytes = v));
  number("proto-max-bulk-len", (v) => (s.maxBulkBytes = v));
  number("hz", (v) => (s.hz = v));
  number("slowlog-log-slower-than", (v) => (s.slowlogSlowerThanMicros = v));
  number("slowlog-max-len", (v) => (s.slowlogMaxLength = v));
  number("latency-monitor-threshold", (v) => (s.latencyMonitorMs = v));
  number("tracking-table-max-keys", (v) => (s.trackingTableMaxKeys = v));
  config.watch("protected-mode", (c) => (s.protectedMode = c.bool("protected-mode")));
  config.watch("latency-tracking", (c) => (s.latencyTracking = c.bool("latency-tracking")));
  config.watch("latency-tracking-info-percentiles", (c) => (s.latencyPercentiles = [...c.special("latency-tracking-info-percentiles")]));
  config.watch(["maxmemory-clients", "maxmemory"], (c) => {
    // Negative: that many percent of maxmemory, where there is one.
    const v = c.number("maxmemory-clients");
    s.memoryLimited = c.number("maxmemory") > 0;
    s.maxMemoryClientsBytes = v >= 0 ? v : Math.floor((c.number("maxmemory") * -v) / 100);
  });
  config.watch("client-output-buffer-limit", (c) => {
    const l = c.special("client-output-buffer-limit");
    for (const [to, from] of [
      ["normal", "normal"],
      ["replica", "slave"],
      ["pubsub", "pubsub"],
    ] as const)
      s.outputLimits[to] = { hardBytes: l[from].hard, softBytes: l[from].soft, softSeconds: l[from].softSeconds };
  });
  // What the clients' layer keeps elsewhere for speed follows last.
  config.watch(
    [
      "client-output-buffer-limit",
      "slowlog-log-slower-than",
      "slowlog-max-len",
      "latency-monitor-threshold",
      "latency-tracking",
      "proto-max-bulk-len",
      "maxmemory-clients",
      "maxmemory",
    ],
    changed,
  );
}
