/**
 * CLIENT and its subcommands, but those about tracking (tracking.ts) and HELP (built from the rows). COLD.
 * Texts, options and the order of checks follow Redis 7.2 networking.c clientCommand.
 */
import { parseBigInt64 } from "../bytes/number.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { clock } from "../time/clock.ts";
import type { Runs } from "./bind.ts";
import type { Call } from "./call.ts";
import {
  CLIENT_EXTRA,
  FLAG_CLOSE_AFTER_REPLY,
  FLAG_HALF_CLOSED,
  FLAG_QUEUED,
  FLAG_NO_EVICT,
  FLAG_NO_TOUCH,
  FLAG_REPLY_OFF,
  FLAG_REPLY_SKIP,
  FLAG_REPLY_SKIP_NEXT,
  type Client,
} from "./client.ts";
import { BAD_NAME, isPlainWord } from "./connection.ts";
import { clientLine, clientType, clientTypeNamed, type ClientType } from "./info_line.ts";
import { tooMany } from "./replies.ts";
import type { Service } from "./service.ts";
import type { User } from "./users.ts";

const INT64_MAX = 0x7fffffffffffffffn;
const fail = (text: string): Buffer => errorLine(`ERR ${text}`);
const E = {
  clientId: fail("Invalid client ID"),
  killId: fail("client-id should be greater than 0"),
  noClient: fail("No such client"),
  reason: fail("CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
  pauseMode: fail("CLIENT PAUSE mode must be WRITE or ALL"),
  timeout: fail("timeout is not an integer or out of range"),
};

export function clientCommands(service: Service): Runs {
  return {
    "client|id": (call) => call.out.int(call.client.id),
    "client|info": (call) => call.out.verbatim(`${lineOf(call, call.client)}\n`, "txt"),
    "client|list": (call) => list(service, call),
    "client|getname": (call) => {
      if (call.client.name === "") call.out.nil();
      else call.out.bulkText(call.client.name);
    },
    "client|setname": (call) => {
      const name = call.text(2);
      if (!isPlainWord(name)) return call.out.error(BAD_NAME);
      call.client.name = name;
      call.out.ok();
    },
    "client|setinfo": setInfo,
    "client|kill": (call) => kill(service, call),
    "client|pause": (call) => pause(service, call),
    "client|unpause": (call) => {
      service.pause.end(0);
      call.out.ok();
    },
    "client|reply": reply,
    "client|no-evict": (call) => onOff(call, FLAG_NO_EVICT),
    "client|no-touch": (call) => {
      onOff(call, FLAG_NO_TOUCH);
      call.client.gates |= CLIENT_EXTRA;
    },
    "client|unblock": (call) => unblock(service, call),
  };
}

/** A client's line; for the asking client with the bytes of its own request. */
function lineOf(call: Call, client: Client): string {
  if (client !== call.client) return clientLine(client);
  let args = 0;
  for (let i = 0; i < call.argc; i++) args += call.len(i);
  return clientLine(client, call.end - call.start, args);
}

function list(service: Service, call: Call): void {
  const { out } = call;
  const { clients } = service.dispatcher;
  let type: ClientType | null = null;
  let text = "";
  if (call.argc === 4 && call.is(2, "type")) {
    type = clientTypeNamed(call.text(3));
    if (type === null) return out.errorText(`ERR Unknown client type '${call.text(3)}'`);
  } else if (call.argc > 3 && call.is(2, "id")) {
    for (let i = 3; i < call.argc; i++) {
      const id = call.integer(i);
      if (Number.isNaN(id)) return out.error(E.clientId);
      const client = clients.get(id);
      if (client !== undefined) text += `${lineOf(call, client)}\n`;
    }
    return out.verbatim(text, "txt");
  } else if (call.argc !== 2) return out.error(ERR.syntax);
  for (const client of clients.values()) if (type === null || clientType(client) === type) text += `${lineOf(call, client)}\n`;
  out.verbatim(text, "txt");
}

function setInfo(call: Call): void {
  const { client, out } = call;
  const option = call.text(2);
  const value = call.text(3);
  const lower = option.toLowerCase();
  if (lower !== "lib-name" && lower !== "lib-ver") return out.errorText(`ERR Unrecognized option '${option}'`);
  if (!isPlainWord(value)) return out.errorText(`ERR ${option} cannot contain spaces, newlines or special characters.`);
  if (lower === "lib-name") client.libName = value;
  else client.libVersion = value;
  out.ok();
}

interface Filter {
  id: number;
  addr: string | null;
  laddr: string | null;
  type: ClientType | null;
  user: User | null;
  skipMe: boolean;
}

/** Reads CLIENT KILL's filters; replies and returns null when they make no sense. */
function readFilter(service: Service, call: Call): Filter | null {
  const f: Filter = { id: 0, addr: null, laddr: null, type: null, user: null, skipMe: true };
  const refuse = (line: Buffer): null => {
    call.out.error(line);
    return null;
  };
  if (call.argc === 3) {
    // The old form may kill its own connection.
    f.addr = call.text(2);
    f.skipMe = false;
    return f;
  }
  for (let i = 2; i < call.argc; i += 2) {
    if (i + 1 >= call.argc) return refuse(ERR.syntax);
    const value = call.text(i + 1);
    if (call.is(i, "id")) {
      f.id = call.integer(i + 1);
      if (Number.isNaN(f.id) || f.id < 1) return refuse(E.killId);
    } else if (call.is(i, "type")) {
      f.type = clientTypeNamed(value);
      if (f.type === null) return refuse(errorLine(`ERR Unknown client type '${value}'`));
    } else if (call.is(i, "addr")) f.addr = value;
    else if (call.is(i, "laddr")) f.laddr = value;
    else if (call.is(i, "user")) {
      f.user = service.users.all.get(value) ?? null;
      if (f.user === null) return refuse(errorLine(`ERR No such user '${value}'`));
    } else if (call.is(i, "skipme") && call.is(i + 1, "yes")) f.skipMe = true;
    else if (call.is(i, "skipme") && call.is(i + 1, "no")) f.skipMe = false;
    else return refuse(ERR.syntax);
  }
  return f;
}

function kill(service: Service, call: Call): void {
  const { out } = call;
  const f = readFilter(service, call);
  if (f === null) return;
  let killed = 0;
  let self = false;
  for (const client of service.dispatcher.clients.values()) {
    if (f.addr !== null && client.remote !== f.addr) continue;
    if (f.laddr !== null && client.local !== f.laddr) continue;
    if (f.type !== null && clientType(client) !== f.type) continue;
    if (f.id !== 0 && client.id !== f.id) continue;
    if (f.user !== null && client.user !== f.user) continue;
    if (client === call.client && f.skipMe) continue;
    killed++;
    if (client === call.client) self = true;
    // It has requests from before that would have had their turn in this very event in Redis: when a pause ends and its client is killed
    // right after (a demotion by Sentinel), the client must learn that what it was made to wait with was not executed.
    else if (client.flags & FLAG_QUEUED) client.flags |= FLAG_HALF_CLOSED;
    else service.registry.free(client);
  }
  if (call.argc > 3) out.int(killed);
  else if (killed === 0) out.error(E.noClient);
  else out.ok();
  // Only now: the reply still goes out.
  if (self) call.client.flags |= FLAG_CLOSE_AFTER_REPLY;
}

function pause(service: Service, call: Call): void {
  const { out } = call;
  if (call.argc > 4) return tooMany(call);
  let all = true;
  if (call.argc === 4) {
    if (call.is(3, "write")) all = false;
    else if (!call.is(3, "all")) return out.error(E.pauseMode);
  }
  const big = parseBigInt64(call.buf, call.s(2), call.e(2));
  if (big === null) return out.error(E.timeout);
  if (big > INT64_MAX - BigInt(clock.nowMs)) return out.error(ERR.timeoutOutOfRange);
  const ms = Number(big);
  if (ms < 0) return out.error(ERR.timeoutNegative);
  if (ms > 0) service.pause.byCommand(clock.nowMs + ms, all);
  out.ok();
}

function reply(call: Call): void {
  const { client, out } = call;
  if (call.is(2, "on")) {
    client.flags &= ~(FLAG_REPLY_OFF | FLAG_REPLY_SKIP);
    out.muted = out.overflowed;
    out.ok();
  } else if (call.is(2, "off")) {
    client.flags |= FLAG_REPLY_OFF;
    out.muted = true;
  } else if (call.is(2, "skip")) {
    if (client.flags & FLAG_REPLY_OFF) return;
    client.flags |= FLAG_REPLY_SKIP_NEXT;
    client.gates |= CLIENT_EXTRA;
  } else out.error(ERR.syntax);
}

function onOff(call: Call, flag: number): void {
  if (call.is(2, "on")) call.client.flags |= flag;
  else if (call.is(2, "off")) call.client.flags &= ~flag;
  else return call.out.error(ERR.syntax);
  call.out.ok();
}

function unblock(service: Service, call: Call): void {
  const { out } = call;
  let error = false;
  if (call.argc > 4) return tooMany(call);
  if (call.argc === 4) {
    if (call.is(3, "error")) error = true;
    else if (!call.is(3, "timeout")) return out.error(E.reason);
  }
  const id = call.integerOrFail(2);
  if (Number.isNaN(id)) return;
  const target = service.dispatcher.clients.get(id);
  if (target === undefined) return out.int(0);
  const done = error ? service.blocking.unblockOnError(target) : service.blocking.unblockOnTimeout(target);
  out.int(done ? 1 : 0);
}
