/**
 * The commands of a Sentinel that are not the engine's: PING, HELLO, AUTH, CLIENT, INFO, ROLE, SUBSCRIBE and its family, SHUTDOWN, QUIT,
 * SENTINEL PENDING-SCRIPTS. COLD. One function a row, found by the row's name (server.ts binds them).
 */
import { FLAG_CLOSE_AFTER_REPLY, CLIENT_UNAUTHENTICATED, FLAG_UNIX, type Client } from "../clients/client.ts";
import type { Call } from "../clients/call.ts";
import { ERR } from "../resp/errors.ts";
import { infoText } from "./info.ts";
import type { SentinelServer } from "./server.ts";

export type Shutdown = (why: "command" | "SIGTERM" | "SIGINT") => void;
type Runs = Record<string, (call: Call) => void>;

export function plainRuns(server: SentinelServer): Runs {
  const { pubsub } = server;
  return {
    ping: (call) => ping(call),
    hello: (call) => hello(server, call),
    auth: (call) => auth(server, call),
    quit: (call) => {
      call.out.ok();
      call.client.flags |= FLAG_CLOSE_AFTER_REPLY;
    },
    role: (call) => {
      const { masters } = server.options.engine.state;
      call.out.array(2);
      call.out.bulkText("sentinel");
      call.out.array(masters.size);
      for (const name of masters.keys()) call.out.bulkText(name);
    },
    info: (call) => call.out.bulkText(infoText(server, sectionsOf(call))),
    shutdown: (call) => shutdown(server, call),
    subscribe: (call) => pubsub.subscribe(call, false),
    psubscribe: (call) => pubsub.subscribe(call, true),
    unsubscribe: (call) => pubsub.unsubscribe(call, false),
    punsubscribe: (call) => pubsub.unsubscribe(call, true),
    "sentinel|pending-scripts": (call) => pendingScripts(server, call),
    ...clientRuns(server),
  };
}

function sectionsOf(call: Call): string[] {
  const sections: string[] = [];
  for (let i = 1; i < call.argc; i++) sections.push(call.lower(i));
  return sections;
}

function ping({ argc, out, client, buf, at }: Call): void {
  if (argc > 2) return out.errorText("ERR wrong number of arguments for 'ping' command");
  if (out.resp === 2 && client.subscriptions > 0) {
    out.array(2);
    out.bulkText("pong");
    if (argc === 1) out.bulkText("");
    else out.bulk(buf, at[2], at[3]);
  } else if (argc === 1) out.pong();
  else out.bulk(buf, at[2], at[3]);
}

/** True when the password (and user) are right; the client is let in then. */
function login(server: SentinelServer, client: Client, user: string, password: string): boolean {
  const required = server.options.config.text("requirepass");
  if (user !== "default" || (required !== "" && password !== required)) return false;
  client.gates &= ~CLIENT_UNAUTHENTICATED;
  return true;
}

function auth(server: SentinelServer, call: Call): void {
  const { out, client, argc } = call;
  if (argc > 3) return out.error(ERR.syntax);
  if (argc === 2 && server.options.config.text("requirepass") === "")
    return out.errorText(
      "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    );
  const ok = argc === 2 ? login(server, client, "default", call.text(1)) : login(server, client, call.text(1), call.text(2));
  if (ok) out.ok();
  else out.error(ERR.wrongPass);
}

function hello(server: SentinelServer, call: Call): void {
  const { out, client, argc } = call;
  let version = out.resp;
  let at = 1;
  if (argc > 1) {
    const v = call.integer(1);
    if (Number.isNaN(v)) return out.errorText("ERR Protocol version is not an integer or out of range");
    if (v !== 2 && v !== 3) return out.error(ERR.noProto);
    version = v;
    at = 2;
  }
  let name: string | null = null;
  while (at < argc) {
    if (call.is(at, "auth") && at + 2 < argc) {
      if (!login(server, client, call.text(at + 1), call.text(at + 2))) return out.error(ERR.wrongPass);
      at += 3;
    } else if (call.is(at, "setname") && at + 1 < argc) {
      name = call.text(at + 1);
      if (!goodName(name)) return out.errorText(BAD_NAME);
      at += 2;
    } else return out.errorText(`ERR Syntax error in HELLO option '${call.text(at)}'`);
  }
  if (client.gates & CLIENT_UNAUTHENTICATED)
    return out.errorText(
      "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    );
  if (name !== null) client.name = name;
  out.resp = version;
  out.map(6);
  const pair = (key: string, value: string | number): void => {
    out.bulkText(key);
    if (typeof value === "number") out.int(value);
    else out.bulkText(value);
  };
  pair("server", "redis");
  pair("version", "7.2.4");
  pair("proto", version);
  pair("id", client.id);
  pair("mode", "sentinel");
  out.bulkText("modules");
  out.array(0);
}

const BAD_NAME = "ERR Client names cannot contain spaces, newlines or special characters.";
function goodName(name: string): boolean {
  return /^[!-~]*$/.test(name);
}

function shutdown(server: SentinelServer, call: Call): void {
  for (let i = 1; i < call.argc; i++) {
    if (call.is(i, "abort")) return call.out.errorText("ERR No shutdown in progress.");
    if (!["nosave", "save", "now", "force"].includes(call.lower(i))) return call.out.error(ERR.syntax);
  }
  server.options.shutdown("command");
}

/** Redis: sentinelPendingScriptsCommand. */
function pendingScripts(server: SentinelServer, call: Call): void {
  const { out } = call;
  const { jobs } = server.options.scripts;
  const now = performance.now();
  out.array(jobs.length);
  for (const job of jobs) {
    out.map(5);
    out.bulkText("argv");
    out.array(job.argv.length);
    for (const word of job.argv) out.bulkText(word);
    const pair = (key: string, value: string | number): void => {
      out.bulkText(key);
      out.bulkText(String(value));
    };
    pair("flags", job.running ? "running" : "scheduled");
    pair("pid", job.pid);
    if (job.running) pair("run-time", Math.floor(now - job.atMs));
    else pair("run-delay", job.atMs === 0 ? 0 : Math.max(0, Math.floor(job.atMs - now)));
    pair("retry-num", job.runs);
  }
}

/** The CLIENT subcommands that tools send to a Sentinel. */
function clientRuns(server: SentinelServer): Runs {
  const ok = (call: Call): void => call.out.ok();
  return {
    "client|id": (call) => call.out.int(call.client.id),
    "client|getname": (call) => (call.client.name === "" ? call.out.nil() : call.out.bulkText(call.client.name)),
    "client|setname": (call) => {
      const name = call.text(2);
      if (!goodName(name)) return call.out.errorText(BAD_NAME);
      call.client.name = name;
      call.out.ok();
    },
    "client|setinfo": (call) => {
      if (call.is(2, "lib-name")) call.client.libName = call.text(3);
      else if (call.is(2, "lib-ver")) call.client.libVersion = call.text(3);
      else return call.out.errorText(`ERR Unrecognized option '${call.text(2)}'`);
      call.out.ok();
    },
    "client|info": (call) => call.out.bulkText(`${describeClient(call.client)}\n`),
    "client|list": (call) => {
      let text = "";
      for (const client of server.dispatcher.clients.values()) text += `${describeClient(client)}\n`;
      call.out.bulkText(text);
    },
    "client|kill": (call) => killClients(server, call),
    "client|no-evict": ok,
    "client|getredir": (call) => call.out.int(-1),
  };
}

function typeOf(client: Client): string {
  return client.subscriptions > 0 ? "pubsub" : "normal";
}

function describeClient(c: Client): string {
  const now = Date.now();
  const flags = (c.subscriptions > 0 ? "P" : "") + (c.has(FLAG_UNIX) ? "U" : "") || "N";
  return (
    `id=${c.id} addr=${c.remote} laddr=${c.local} fd=${c.conn?.fd ?? -1} name=${c.name} age=${Math.floor((now - c.createdMs) / 1000)} ` +
    `idle=${Math.floor((now - c.lastActiveMs) / 1000)} flags=${flags} db=0 sub=${c.channels?.size ?? 0} psub=${c.patterns?.size ?? 0} ssub=0 ` +
    `multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd=${c.last?.name ?? "NULL"} ` +
    `user=${c.userName} redir=-1 resp=${c.out.resp} lib-name=${c.libName} lib-ver=${c.libVersion}`
  );
}

/** CLIENT KILL addr | filter value ... with ID, TYPE, ADDR, LADDR, USER, SKIPME. */
function killClients(server: SentinelServer, call: Call): void {
  const { out } = call;
  const old = call.argc === 3;
  const filters: [string, string][] = old ? [["addr", call.text(2)]] : [];
  let skipMe = !old;
  for (let i = 2; !old && i + 1 < call.argc; i += 2) {
    const [name, value] = [call.lower(i), call.text(i + 1)];
    if (name === "skipme") skipMe = value.toLowerCase() === "yes";
    else if (["id", "type", "addr", "laddr", "user"].includes(name)) filters.push([name, value]);
    else return out.error(ERR.syntax);
  }
  let killed = 0;
  for (const c of server.dispatcher.clients.values()) {
    const facts: Record<string, string> = { id: String(c.id), type: typeOf(c), addr: c.remote, laddr: c.local, user: c.userName };
    if ((skipMe && c === call.client) || !filters.every(([name, value]) => facts[name] === value)) continue;
    killed++;
    if (c === call.client) c.flags |= FLAG_CLOSE_AFTER_REPLY;
    else c.conn?.terminate();
  }
  if (!old) out.int(killed);
  else if (killed > 0) out.ok();
  else out.errorText("ERR No such client");
}
