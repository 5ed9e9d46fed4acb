/** The Runtime API's commands that change something: servers, weights, limits, sessions, counters (HAProxy management guide 9.3). COLD. */
import { isIP } from "node:net";
import type { Engine } from "../engine.ts";
import { pauseFrontend, resumeFrontend, stopFrontend } from "../life.ts";
import { resetHealth } from "../core/health.ts";
import { drainQueues, isStopping, say, setAdmin, shutSessions, wentDown, wentUp } from "../transitions.ts";
import { setWeight } from "../slowstart.ts";
import type { Frontend, Server } from "../state.ts";
import { clearCounters } from "../stats/columns.ts";
import { nextWaiting } from "../assign.ts";
import { nowMs } from "../timers.ts";
import { command, serverOf, type Call, type Command } from "./command.ts";
import { sessionKey, sessions } from "./commands_show.ts";

const USAGE =
  "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | check-port | fqdn | health | ssl | state | weight\n";

/** A weight as it is written: absolute, or a percentage of the configured one. A text is the refusal. */
function changeWeight(s: Server, text: string | undefined): string {
  if (text === undefined) return "Require <weight> or <weight%>.\n";
  const m = /^(\d+)(%?)(.*)$/.exec(text);
  if (m === null) return "Empty weight string empty or preceded by garbage";
  if (m[3] !== "") return "Trailing garbage in weight string";
  const n = Number(m[1]);
  if (m[2] === "" && n > 256) return "Absolute weight can only be between 0 and 256 inclusive.\n";
  s.userWeight = m[2] === "" ? n : Math.min(256, Math.floor((s.config.weight * n) / 100));
  setWeight(s, nowMs());
  drainQueues(s);
  return "";
}

function changeHealth(engine: Engine, s: Server, word: string | undefined): string {
  if (s.tracks !== null) return "cannot change health on a tracking server.\n";
  const wasUp = s.isUp;
  const { health } = s;
  if (word === "up") {
    const wasStopping = s.stopping;
    s.stopping = false;
    resetHealth(health, true);
    if (!wasUp || wasStopping) wentUp(engine, s, ", changed from CLI");
  } else if (word === "stopping") {
    resetHealth(health, true);
    if (!s.stopping) {
      s.stopping = true;
      isStopping(engine, s, ", changed from CLI");
    }
  } else if (word === "down") {
    health.counter = 0;
    if (wasUp) wentDown(engine, s, ", changed from CLI");
  } else return "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n";
  return "";
}

function changeAddress(s: Server, host: string | undefined, port: string | undefined): string {
  const by = " by 'stats socket command'\n";
  if (host === undefined) return "set server <b>/<s> addr requires an address and optionally a port.\n";
  if (isIP(host) === 0) return `Invalid addr '${host}'${by}`;
  if (port !== undefined && (!/^[+-]?\d+$/.test(port) || Math.abs(Number(port)) > 65535))
    return `IP not changed from '${s.host}', provided port is not an integer${by}`.replace(
      "IP not changed from",
      "no need to change the addr from",
    );
  const parts: string[] = [];
  let changed = false;
  if (host === s.host) parts.push("no need to change the addr");
  else {
    parts.push(`IP changed from '${s.host}' to '${host}'`);
    s.host = host;
    changed = true;
  }
  if (port !== undefined) {
    if (Number(port) === s.port) parts.push("no need to change the port");
    else {
      parts.push(`port changed from '${s.port}' to '${Number(port)}'`);
      s.port = Number(port);
      changed = true;
    }
  }
  // Another machine: nobody has asked it yet who it is.
  if (changed && s.backend.byAuthority && s.isChecked) resetHealth(s.health, false);
  return parts.join(", ") + by;
}

/** Another name; its address is found by the next look-up. */
function changeName(engine: Engine, s: Server, name: string): string {
  const by = " by 'stats socket command'";
  if (name === s.config.dnsName) return `no need to change the FDQN${by}\n`;
  const text = `${s.path} changed its FQDN from ${s.config.dnsName} to ${name}${by}`;
  s.config.dnsName = name;
  say(engine, s.backend, 5, `${text}.`);
  return `${text}\n`;
}

function setServer(call: Call): string {
  const { engine, args } = call;
  const s = serverOf(engine, args[2]);
  if (typeof s === "string") return s;
  const value = args[4];
  switch (args[3]) {
    case "state":
      if (value !== "ready" && value !== "drain" && value !== "maint")
        return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n";
      setAdmin(engine, s, value);
      engine.administered?.(s);
      return "";
    case "health":
      return changeHealth(engine, s, value);
    case "weight":
      return changeWeight(s, value);
    case "addr":
      return changeAddress(s, value, args[5] === "port" ? args[6] : undefined);
    case "check-addr":
      if (!s.isChecked || s.checkPaused) return "health checks are not enabled on this server\n";
      if (value === undefined || isIP(value) === 0) return `Invalid addr '${value ?? ""}'\n`;
      s.config.checkHost = value;
      if (args[5] === "port") s.config.checkPort = Number(args[6]) || 0;
      return "";
    case "check-port":
      if (!s.isChecked || s.checkPaused) return "health checks are not enabled on this server\n";
      if (!/^\d+$/.test(value ?? "") || Number(value) > 65535) return "provided port is not valid.\n";
      s.config.checkPort = Number(value);
      return "";
    case "fqdn":
      if (s.config.resolvers === "") return "set server <b>/<s> fqdn failed because no resolution is configured.\n";
      if (value === undefined) return "set server <b>/<s> fqdn requires a FQDN.\n";
      return changeName(engine, s, value);
    case "ssl":
      if (s.tls === null) return "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n";
      if (value !== "on" && value !== "off") return "'set server <srv> ssl' expects 'on' or 'off'.\n";
      s.config.ssl = value === "on";
      return "";
    case "agent":
    case "agent-addr":
    case "agent-port":
    case "agent-send":
      return setAgent(engine, s, args[3], value);
    default:
      return USAGE;
  }
}
function setAgent(engine: Engine, s: Server, what: string, value: string | undefined): string {
  const agent = engine.agents.find((a) => a.server === s);
  if (agent === undefined || (agent.paused && what === "agent"))
    return what === "agent" ? "agent checks are not enabled on this server.\n" : "agent checks are not enabled on this server.\n";
  if (what === "agent") {
    if (value !== "up" && value !== "down") return "'set server <srv> agent' expects 'up' or 'down'.\n";
    agent.setDown(value === "down", ", changed from CLI");
  } else if (value === undefined) return `'set server <srv> ${what}' expects a value.\n`;
  else if (what === "agent-addr") agent.host = value;
  else if (what === "agent-port") agent.port = Number(value) || agent.port;
  else agent.send = value;
  return "";
}

const onServer =
  (run: (engine: Engine, s: Server) => string): Command["run"] =>
  ({ engine, args }) => {
    const s = serverOf(engine, args[2]);
    return typeof s === "string" ? s : run(engine, s);
  };
const onFrontend =
  (at: number, run: (engine: Engine, f: Frontend, call: Call) => string): Command["run"] =>
  (call) => {
    const name = call.args[at];
    if (name === undefined) return "A frontend name is expected.\n";
    const f = call.engine.frontends.find((x) => x.name === name);
    return f === undefined ? "No such frontend.\n" : run(call.engine, f, call);
  };

function setMaxconnServer({ engine, args }: Call): string {
  const s = serverOf(engine, args[3]);
  if (typeof s === "string") return s;
  if (!/^\d/.test(args[4] ?? "")) return "maxconn string empty or preceded by garbage";
  s.maxconn = Number.parseInt(args[4]!, 10);
  drainQueues(s);
  return "";
}
function setMaxconnGlobal({ engine, args }: Call): string {
  if (args[3] === undefined) return "Expects an integer value.\n";
  const n = Number.parseInt(args[3], 10) || 0;
  if (n > engine.hardMaxconn) return "Value out of range.\n";
  engine.maxconn = n <= 0 ? engine.hardMaxconn : n;
  return "";
}

export const SET: Command[] = [
  command("clear counters [all]", "set maxima (or all counters) to zero", 1, (call) => {
    const all = call.args[2] === "all";
    if (all && call.level < 2) return "Permission denied\n";
    clearCounters(call.engine, all);
    return "";
  }),
  command("disable agent <bk>/<srv>", "stop asking an agent", 2, onServer((engine, s) => {
    const agent = engine.agents.find((a) => a.server === s);
    if (agent !== undefined) agent.paused = true;
    return "";
  })),
  command("disable frontend <frontend>", "stop listening for a while", 2, onFrontend(2, (engine, f) => {
    if (f.stopped) return "Frontend was previously shut down, cannot disable.\n";
    return pauseFrontend(engine, f) ? "" : "All sockets are already disabled.\n";
  })),
  command("disable health <bk>/<srv>", "stop checking a server", 2, onServer((_e, s) => {
    s.checkPaused = true;
    return "";
  })),
  command("disable server <bk>/<srv>", "as set server state maint", 2, onServer((engine, s) => {
    setAdmin(engine, s, "maint");
    engine.administered?.(s);
    return "";
  })),
  command("enable agent <bk>/<srv>", "ask an agent again", 2, onServer((engine, s) => {
    const agent = engine.agents.find((a) => a.server === s);
    if (agent === undefined) return "Agent was not configured on this server, cannot enable.\n";
    agent.paused = false;
    return "";
  })),
  command("enable frontend <frontend>", "listen again", 2, onFrontend(2, (engine, f) => {
    if (f.stopped) return "Frontend was previously shut down, cannot enable.\n";
    if (!f.paused) return "All sockets are already enabled.\n";
    return resumeFrontend(engine, f) ? "" : "Failed to resume frontend, check logs for precise cause (port conflict?).\n";
  })),
  command("enable health <bk>/<srv>", "check a server again", 2, onServer((_e, s) => {
    if (!s.isChecked) return "Health check was not configured on this server, cannot enable.\n";
    s.checkPaused = false;
    return "";
  })),
  command("enable server <bk>/<srv>", "as set server state ready", 2, onServer((engine, s) => {
    setAdmin(engine, s, "ready");
    engine.administered?.(s);
    return "";
  })),
  command("get weight <bk>/<srv>", "weight of a server", 0, onServer((_e, s) => `${s.userWeight} (initial ${s.config.weight})\n`)),
  command("set maxconn frontend <frontend> <value>", "connections of a frontend", 2, onFrontend(3, (engine, f, { args }) => {
    if (args[4] === undefined) return "Integer value expected.\n";
    f.maxconn = Math.max(0, Number.parseInt(args[4], 10) || 0);
    for (let next = nextWaiting(f); next !== null && engine.active < engine.maxconn; next = nextWaiting(f)) next.admit();
    return "";
  })),
  command("set maxconn global <value>", "connections of the process", 2, setMaxconnGlobal),
  command("set maxconn server <bk>/<srv>", "connections of a server", 2, setMaxconnServer),
  command("set rate-limit <setting> <value>", "limits of connections a second: not applied", 2, () =>
    "'set rate-limit' has no effect in redisha: there are no limits of connections a second.\n",
  ),
  command("set server <bk>/<srv> [opts]", "state, health, weight, address of a server", 2, setServer),
  command("set timeout [cli] <delay>", "time-out of this connection", 0, (call) => {
    if (call.args[2] !== "cli") return "'set timeout' only supports 'cli'.\n";
    const m = /^(\d+)(us|ms|s|m|h|d)?$/.exec(call.args[3] ?? "");
    if (m === null) return "Expects an integer value.\n";
    const unit: Record<string, number> = { us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600, d: 86400 };
    call.setTimeout(Number(m[1]) * unit[m[2] ?? "s"]!);
    return "";
  }),
  command("set weight <bk>/<srv>", "as set server weight", 2, ({ engine, args }) => {
    const s = serverOf(engine, args[2]);
    return typeof s === "string" ? s : changeWeight(s, args[3]);
  }),
  command("shutdown frontend <frontend>", "stop listening for ever", 2, onFrontend(2, (engine, f) => {
    if (f.stopped) return "Frontend was already shut down.\n";
    stopFrontend(engine, f);
    return "";
  })),
  command("shutdown session [id]", "end a session", 2, ({ engine, args }) => {
    if (args[2] === undefined) return "Session pointer expected (use 'show sess').\n";
    for (const s of sessions(engine))
      if (sessionKey(s) === args[2]) {
        s.kill("K");
        return "";
      }
    return "No such session (use 'show sess').\n";
  }),
  command("shutdown sessions server <bk>/<srv>", "end the sessions of a server", 2, ({ engine, args }) => {
    const s = serverOf(engine, args[3]);
    if (typeof s === "string") return s;
    shutSessions(s, "K");
    return "";
  }),
]; // prettier-ignore
