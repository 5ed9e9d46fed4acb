/**
 * What the configuration says about clients. One plain object a process: the mode fills it in at start and changes its fields at
 * CONFIG SET; everybody here reads it when it is needed. Names are the directives', units last.
 */

/** One class of client-output-buffer-limit: 0 is no limit. */
export interface OutputLimit {
  hardBytes: number;
  softBytes: number;
  softSeconds: number;
}

export interface ClientSettings {
  /** The version that HELLO tells. */
  version: string;
  /** Sentinel answers HELLO with its own mode and without a role. */
  sentinel: boolean;
  maxClients: number;
  /** Idle seconds after which a client is closed; 0: never. */
  timeoutSeconds: number;
  tcpKeepaliveSeconds: number;
  protectedMode: boolean;
  queryBufferLimitBytes: number;
  maxBulkBytes: number;
  outputLimits: { normal: OutputLimit; replica: OutputLimit; pubsub: OutputLimit };
  /** Calls a second of the cron: it looks at every client once a second. */
  hz: number;
  /** -1: the slow log is off. */
  slowlogSlowerThanMicros: number;
  slowlogMaxLength: number;
  /** latency-monitor-threshold; 0: off. */
  latencyMonitorMs: number;
  latencyTracking: boolean;
  latencyPercentiles: number[];
  /** maxmemory-clients in bytes, a percentage already worked out; 0: no limit. */
  maxMemoryClientsBytes: number;
  /** maxmemory is set: clients' buffers count. */
  memoryLimited: boolean;
  /** aclfile; "": none. */
  aclFile: string;
  /** acllog-max-len: entries of ACL LOG. */
  aclLogMaxLength: number;
  /** tracking-table-max-keys; 0: no limit. */
  trackingTableMaxKeys: number;
}

/** Redis' defaults. */
export function defaultSettings(): ClientSettings {
  return {
    version: "7.2.4",
    sentinel: false,
    maxClients: 10000,
    timeoutSeconds: 0,
    tcpKeepaliveSeconds: 300,
    protectedMode: true,
    queryBufferLimitBytes: 1024 * 1024 * 1024,
    maxBulkBytes: 512 * 1024 * 1024,
    outputLimits: {
      normal: { hardBytes: 0, softBytes: 0, softSeconds: 0 },
      replica: { hardBytes: 256 * 1024 * 1024, softBytes: 64 * 1024 * 1024, softSeconds: 60 },
      pubsub: { hardBytes: 32 * 1024 * 1024, softBytes: 8 * 1024 * 1024, softSeconds: 60 },
    },
    hz: 10,
    slowlogSlowerThanMicros: 10000,
    slowlogMaxLength: 128,
    latencyMonitorMs: 0,
    latencyTracking: true,
    latencyPercentiles: [50, 99, 99.9],
    maxMemoryClientsBytes: 0,
    memoryLimited: false,
    aclFile: "",
    aclLogMaxLength: 128,
    trackingTableMaxKeys: 1000000,
  };
}
