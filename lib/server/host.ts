/**
 * The server's answers to dispatch: the texts of closed gates, what follows a command that changed something, the order of writing the AOF
 * and sending replies. `changed` is HOT.
 */
import type { Host } from "../clients/dispatch.ts";
import type { Call } from "../clients/call.ts";
import type { Client } from "../clients/client.ts";
import { GATE_BUSY, GATE_LOADING, GATE_MEMORY, GATE_MISCONF, GATE_NOREPLICAS, GATE_READONLY, GATE_STALE } from "../clients/command.ts";
import { FLAG } from "../commands/table/row.ts";
import { ERR } from "../resp/errors.ts";
import type { Server } from "./server.ts";

/** What parts hang into the host; null while nobody does. */
export interface Hooks {
  /** maxmemory: evict; true when memory is still over the limit. */
  overMemory: (() => boolean) | null;
  /** Who may run what (ACL). */
  denied: ((call: Call) => Buffer | null) | null;
  /** After each unit: blocked clients, invalidations. */
  afterUnit: (() => void)[];
  /** Before replies leave: the AOF. False keeps the replies until `dispatcher.flushAll()` is called. */
  beforeFlush: (() => boolean) | null;
  postpone: ((client: Client) => void) | null;
  overOutputLimit: ((client: Client) => boolean) | null;
  /** The MISCONF text of the moment: RDB or AOF. */
  misconf: Buffer;
  busy: Buffer;
}

export class ServerHost implements Host {
  private readonly server: Server;
  readonly hooks: Hooks;

  constructor(server: Server) {
    this.server = server;
    this.hooks = {
      overMemory: null,
      denied: null,
      afterUnit: [],
      beforeFlush: null,
      postpone: null,
      overOutputLimit: null,
      misconf: ERR.misconf,
      busy: ERR.busy,
    };
  }

  /** Redis processCommand, from the memory check on. `bits` are closed gates that this command does not pass by itself. */
  refuse(call: Call, bits: number): Buffer | null {
    if (bits & GATE_MEMORY && this.hooks.overMemory !== null) {
      const over = this.hooks.overMemory();
      const flags = call.command.name === "exec" && call.client.multi !== null ? call.client.multi.flags : call.command.flags;
      if (over && flags & FLAG.denyoom) return ERR.oom;
    }
    if (bits & GATE_MISCONF) return this.hooks.misconf;
    if (bits & GATE_NOREPLICAS) return ERR.noReplicas;
    if (bits & GATE_READONLY) return ERR.readonly;
    if (bits & GATE_STALE) return ERR.masterDown;
    if (bits & GATE_LOADING) return ERR.loading;
    if (bits & GATE_BUSY) return this.hooks.busy;
    return null;
  }

  changed(call: Call): void {
    this.server.propagation.changed(call);
  }

  denied(call: Call): Buffer | null {
    return this.hooks.denied === null ? null : this.hooks.denied(call);
  }

  afterUnit(): void {
    this.server.propagation.flush();
    const list = this.hooks.afterUnit;
    for (let i = 0; i < list.length; i++) list[i]();
  }

  beforeFlush(): boolean {
    return this.hooks.beforeFlush === null || this.hooks.beforeFlush();
  }

  postpone(client: Client): void {
    this.hooks.postpone?.(client);
  }

  overOutputLimit(client: Client): boolean {
    return this.hooks.overOutputLimit !== null && this.hooks.overOutputLimit(client);
  }
}
