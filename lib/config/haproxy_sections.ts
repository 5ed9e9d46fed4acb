/**
 * Section headers, and the sections that redisha reads without using them: peers, mailers, userlist, cache, ... COLD.
 * Mail is not sent and stick tables do not exist, so their contents only have to be recognised. resolvers: haproxy_resolvers.ts, ring: haproxy_ring.ts.
 */
import type { Context } from "./haproxy_context.ts";
import { openResolvers, RESOLVER_WORDS } from "./haproxy_resolvers.ts";
import { closeRing, openRing } from "./haproxy_ring.ts";
import { isBackend, isFrontend, kindText, newProxy, type ProxyConfig } from "./haproxy_model.ts";

/** Keywords of the sections that are only recognised; a warning says once a section what that means. */
const OTHER: Record<string, { words: string[]; needsName: boolean; missing: string; aborts: boolean; warning: string }> = {
  peers: {
    words: ["peer", "server", "bind", "default-bind", "default-server", "table", "log", "disabled", "enabled", "shards"],
    needsName: true,
    missing: " : missing name for peers section.",
    aborts: true,
    warning: "",
  },
  resolvers: {
    words: RESOLVER_WORDS,
    needsName: true,
    missing: " : missing name for resolvers section.",
    aborts: true,
    warning: "",
  },
  mailers: {
    words: ["mailer", "timeout"],
    needsName: true,
    missing: " : missing name for mailers section.",
    aborts: true,
    warning: "mail is not sent; use logs",
  },
  userlist: {
    words: ["user", "group"],
    needsName: true,
    missing: ": 'userlist' expects <name> as arguments.",
    aborts: false,
    warning: "",
  },
  ring: {
    words: ["description", "format", "maxlen", "server", "size", "timeout", "backing-file"],
    needsName: true,
    missing: " : missing ring name.",
    aborts: false,
    warning: "",
  },
  cache: {
    words: ["total-max-size", "max-age", "max-object-size", "process-vary", "max-secondary-entries"],
    needsName: true,
    missing: " : 'cache' expects a <name> argument",
    aborts: true,
    warning: "it needs mode http",
  },
  program: {
    words: ["command", "option", "user", "group"],
    needsName: true,
    missing: " : 'program' expects an <id> argument",
    aborts: true,
    warning: "programs are not started",
  },
  "http-errors": {
    words: ["errorfile"],
    needsName: true,
    missing: " : missing name for http-errors section.",
    aborts: true,
    warning: "",
  },
  "log-forward": {
    words: ["bind", "dgram-bind", "log", "maxconn", "timeout", "backlog"],
    needsName: true,
    missing: " : missing name for ip-forward section.",
    aborts: true,
    warning: "log messages are not relayed",
  },
  "fcgi-app": {
    words: [],
    needsName: true,
    missing: " : 'fcgi-app' expects an <id> argument",
    aborts: true,
    warning: "it needs mode http",
  },
};

export const SECTIONS = new Set(["global", "defaults", "frontend", "backend", "listen", ...Object.keys(OTHER)]);

/** Words that the present section knows when it is one of the recognised ones; null: it has a table of its own. */
export function otherWords(section: string): string[] | null {
  return OTHER[section]?.words ?? null;
}

/** The state of `defaults` between sections. */
export class DefaultsChain {
  /** The latest defaults section: what an unnamed reference means. */
  latest: ProxyConfig | null;
  readonly all: ProxyConfig[];
  readonly explicitlyUsed: Set<ProxyConfig>;
  constructor() {
    this.latest = null;
    this.all = [];
    this.explicitlyUsed = new Set();
  }
}

/** A line that opens a section. */
export function openSection(c: Context, chain: DefaultsChain): void {
  const word = c.args[0]!;
  c.section = word;
  closeRing(c);
  if (word === "global") {
    c.proxy = null;
    if (c.args[1] !== undefined) c.atMost(0);
    return;
  }
  const other = OTHER[word];
  if (other !== undefined) {
    c.proxy = null;
    if (other.needsName && c.args[1] === undefined) {
      c.alertText(`parsing [${c.at}]${other.missing}`);
      c.aborted = other.aborts;
      return;
    }
    if (c.args[2] !== undefined && word !== "ring") c.atMost(1);
    if (word === "resolvers") openResolvers(c);
    else if (word === "ring") openRing(c);
    else if (word === "userlist") c.config.userlists.set(c.args[1] ?? "", new Map());
    if (other.warning !== "") c.warn(`section '${word} ${c.args[1] ?? ""}' is read but has no effect in redisha (${other.warning}).`);
    return;
  }
  proxySection(c, chain, word as ProxyConfig["kind"]);
}

function proxySection(c: Context, chain: DefaultsChain, kind: ProxyConfig["kind"]): void {
  const a = c.args;
  let name = a[1] ?? "";
  if (kind === "defaults" && name === "from") name = ""; // `defaults from X`
  if (kind !== "defaults") {
    if (name === "") {
      c.alert(`'${kind}' expects an <id> argument`);
      c.aborted = true;
      return;
    }
    const bad = /[^A-Za-z0-9_.:-]/.exec(name);
    if (bad !== null) c.alert(`character '${bad[0]}' is not permitted in '${kind}' name '${name}'.`);
  }
  const fromAt = a.indexOf("from", 1);
  const made = { kind, name } as ProxyConfig;
  for (const p of c.config.proxies) {
    if (kind === "defaults" || p.name !== name) continue;
    if ((isFrontend(p) && isFrontend(made)) || (isBackend(p) && isBackend(made)))
      c.alertText(
        `Parsing [${c.at}]: ${kindText(made)} '${name}' has the same name as ${kindText(p)} '${name}' declared at ${p.file}:${p.line}.`,
      );
  }
  let from: ProxyConfig | null = kind === "defaults" ? null : chain.latest;
  if (fromAt > 0 && a[fromAt + 1] !== undefined) {
    const wanted = a[fromAt + 1]!;
    if (a[fromAt + 2] !== undefined) c.alert(`'${kind}' cannot handle unexpected argument '${a[fromAt + 2]}'.`);
    const found = chain.all.filter((d) => d.name === wanted);
    if (found.length === 0) {
      c.alert(`defaults section '${wanted}' not found for ${kindText(made)} '${name}'.`);
      c.aborted = true;
      return;
    }
    if (found.length > 1)
      c.alert(
        `ambiguous defaults section name '${wanted}' referenced by ${kindText(made)} '${name}' exists at least at ${found[0]!.file}:${found[0]!.line} and ${found[1]!.file}:${found[1]!.line}.`,
      );
    from = found.at(-1)!;
    if (found.length === 1) chain.explicitlyUsed.add(from);
  } else if (from !== null && chain.explicitlyUsed.has(from)) {
    c.warn(
      `defaults section '${from.name}' (declared at ${from.file}:${from.line}) is explicitly referenced by another proxy and implicitly used here. To avoid any ambiguity don't mix both usage. Add a last defaults section not explicitly used or always use explicit references.`,
    );
  }
  if (kind === "listen" && a[2] !== undefined && fromAt !== 2) c.alert("please use the 'bind' keyword for listening addresses.");
  else if (kind === "listen" && fromAt === 2 && a[4] !== undefined) c.alert("please use the 'bind' keyword for listening addresses.");
  const p = newProxy(kind, name, c, from);
  c.proxy = p;
  if (kind === "defaults") {
    chain.latest = p;
    chain.all.push(p);
    c.config.defaults.push(p);
  } else c.config.proxies.push(p);
}
