/**
 * What was denied lately: ACL LOG, and the counters of INFO acl_access_denied_*. COLD.
 * Like refusals within a minute are one entry with a count. Follows Redis 7.2 acl.c addACLLogEntry.
 */
import { clock } from "../../time/clock.ts";
import type { ClientSettings } from "../settings.ts";
import { DENIED_AUTH, DENIED_CHANNEL, DENIED_COMMAND, DENIED_KEY, type Verdict } from "./selector.ts";

/** Where the request was made. */
export type DenialContext = "toplevel" | "multi" | "lua";

const GROUPING_MS = 60_000;
/** So many of the newest entries are looked at for a like one. */
const LOOKED_AT = 10;

export interface DenialEntry {
  readonly id: number;
  count: number;
  readonly reason: Verdict;
  readonly context: DenialContext;
  /** Command, key, channel. Latin1. */
  readonly object: string;
  readonly user: string;
  readonly createdMs: number;
  updatedMs: number;
  /** The client's line, of the last time. */
  clientInfo: string;
}

export const REASONS: Readonly<Record<number, string>> = {
  [DENIED_COMMAND]: "command",
  [DENIED_KEY]: "key",
  [DENIED_CHANNEL]: "channel",
  [DENIED_AUTH]: "auth",
};

export class DenialLog {
  private readonly settings: ClientSettings;
  /** Newest first. */
  entries: DenialEntry[];
  private nextId: number;
  deniedAuth: number;
  deniedCommand: number;
  deniedKey: number;
  deniedChannel: number;

  constructor(settings: ClientSettings) {
    this.settings = settings;
    this.entries = [];
    this.nextId = 0;
    this.deniedAuth = this.deniedCommand = this.deniedKey = this.deniedChannel = 0;
  }

  add(reason: Verdict, context: DenialContext, object: string, user: string, clientInfo: string): void {
    if (reason === DENIED_AUTH) this.deniedAuth++;
    else if (reason === DENIED_COMMAND) this.deniedCommand++;
    else if (reason === DENIED_KEY) this.deniedKey++;
    else this.deniedChannel++;
    const now = Math.floor(clock.nowMs);
    const alike = (e: DenialEntry): boolean =>
      e.reason === reason && e.context === context && Math.abs(e.updatedMs - now) <= GROUPING_MS && e.object === object && e.user === user;
    const at = this.entries.slice(0, LOOKED_AT).findIndex(alike);
    if (at >= 0) {
      const [entry] = this.entries.splice(at, 1);
      entry.clientInfo = clientInfo;
      entry.updatedMs = now;
      entry.count++;
      this.entries.unshift(entry);
      return;
    }
    this.entries.unshift({ id: this.nextId++, count: 1, reason, context, object, user, createdMs: now, updatedMs: now, clientInfo });
    if (this.entries.length > this.settings.aclLogMaxLength) this.entries.length = this.settings.aclLogMaxLength;
  }

  /** ACL LOG RESET. */
  clear(): void {
    this.entries = [];
  }

  /** CONFIG RESETSTAT. */
  resetStats(): void {
    this.deniedAuth = this.deniedCommand = this.deniedKey = this.deniedChannel = 0;
  }
}
