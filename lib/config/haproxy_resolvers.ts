/** `resolvers` and `userlist` sections (HAProxy configuration 5.3.2 and 3.4): the words that redisha gives effect to. COLD. */
import { readFileSync } from "node:fs";
import type { Context } from "./haproxy_context.ts";
import type { ResolversConfig } from "./haproxy_model.ts";
import { looseInt, readAddress, readTime } from "./haproxy_units.ts";

export const RESOLVER_WORDS = ["nameserver", "parse-resolv-conf", "hold", "resolve_retries", "timeout", "accepted_payload_size"];

export function newResolvers(name: string): ResolversConfig {
  return {
    name,
    nameservers: [],
    retries: 3,
    retryMs: 1000,
    periodMs: 1000,
    holdMs: { nx: 30_000, timeout: 30_000, refused: 30_000, other: 30_000, obsolete: 0 },
  };
}
export function openResolvers(c: Context): void {
  c.config.resolvers.push(newResolvers(c.args[1]!));
}

/** A line of the latest resolvers section. */
export function parseResolvers(c: Context): void {
  const r = c.config.resolvers.at(-1);
  const a = c.args;
  if (r === undefined) return;
  switch (a[0]) {
    case "nameserver": {
      if (a[2] === undefined) return c.alert("'nameserver' expects <name> and <addr>[:<port>] as arguments.");
      const at = readAddress(a[2].replace(/^(udp|tcp)@/, ""));
      if (typeof at === "string") return c.alert(`'nameserver ${a[1]}' : ${at}`);
      r.nameservers.push({ name: a[1]!, host: at.host, port: at.portLow < 0 ? 53 : at.portLow });
      return;
    }
    case "parse-resolv-conf":
      try {
        for (const m of readFileSync("/etc/resolv.conf", "latin1").matchAll(/^nameserver\s+(\S+)/gm))
          r.nameservers.push({ name: m[1]!, host: m[1]!, port: 53 });
      } catch {
        c.warn("'parse-resolv-conf' : failed to open /etc/resolv.conf.");
      }
      return;
    case "resolve_retries":
      r.retries = Math.max(1, looseInt(a[1] ?? ""));
      return;
    case "timeout":
    case "hold": {
      const t = readTime(a[2] ?? "");
      if (t.error !== "") return c.alert(`'${a[0]}' : unexpected character in time argument '${a[2] ?? ""}'.`);
      if (a[0] === "timeout" && a[1] === "retry") r.retryMs = t.ms;
      else if (a[0] === "timeout" && a[1] === "resolve") r.periodMs = t.ms;
      // `hold valid` has no say in when a name is looked up again.
      else if (a[0] === "hold" && a[1]! in r.holdMs) r.holdMs[a[1] as keyof typeof r.holdMs] = t.ms;
    }
  }
}
/** A line of the latest userlist: `user NAME insecure-password PW`. */
export function parseUser(c: Context): void {
  const list = [...c.config.userlists.values()].at(-1);
  const a = c.args;
  if (list === undefined || a[0] !== "user") return;
  const at = a.indexOf("insecure-password");
  list.set(a[1]!, at > 0 ? (a[at + 1] ?? "") : null);
  if (at < 0)
    c.warn(`'user ${a[1]}' : encrypted passwords are not compared by redisha, so that this user cannot pass; use 'insecure-password'.`);
}
