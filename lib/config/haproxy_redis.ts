/**
 * Directives of mode redis, which HAProxy does not know: one row each (design 5). COLD. They may stand in defaults, backend and listen
 * sections; redis-hold, redis-partition, redis-replay and sentinel serve mode tcp in front of role checks as well.
 */
import { B, type Context, F, type Row, type Table } from "./haproxy_context.ts";
import type { ProxyConfig } from "./haproxy_model.ts";
import { readAddress, readSize, readTime } from "./haproxy_units.ts";

const row = (parse: (c: Context, p: ProxyConfig) => void): Row => ({ where: F | B, parse: (c) => parse(c, c.proxy!) });

export const REDIS_ROWS: Table = {
  "redis-auth": row((c, p) => {
    const words = c.args.slice(1);
    if (words.length < 1 || words.length > 2) return c.alert("'redis-auth' expects [<user>] <password>.");
    p.auth = words;
  }),
  "redis-cluster": row((c, p) => {
    if (c.args[1] === undefined) return c.alert("'redis-cluster' expects one or more <host>:<port> of the cluster's nodes.");
    for (const text of c.args.slice(1)) {
      const a = readAddress(text);
      if (typeof a === "string") return c.alert(`'redis-cluster' : ${a}`);
      p.cluster.push({ host: a.host, port: a.portLow < 0 ? 6379 : a.portLow });
    }
  }),
  "redis-deny": row((c, p) => {
    if (c.args[1] === undefined) return c.alert("'redis-deny' expects one or more commands, e.g. flushall config|set.");
    for (const name of c.args.slice(1)) p.deny.push(name.toLowerCase());
  }),
  "redis-hold": row((c, p) => {
    const ms = c.time(1, "redis-hold");
    if (ms === null) return;
    p.holdMs = ms;
    if (c.args[2] === undefined) return;
    const bytes = c.args[2] === "bytes" ? readSize(c.args[3] ?? "") : null;
    if (bytes === null) return c.alert("'redis-hold' expects <time> and optionally 'bytes' <size>.");
    p.holdBytes = bytes;
  }),
  "redis-partition": row((c, p) => {
    if (c.args[1] !== "stay" && c.args[1] !== "hold")
      return c.alert(`'redis-partition' expects 'stay' or 'hold' but got '${c.args[1] ?? ""}'.`);
    p.partition = c.args[1];
  }),
  "redis-pool": row((c, p) => {
    const n = Number(c.args[1]);
    if (!Number.isInteger(n) || n < 1 || n > 1024) return c.alert(`'redis-pool' expects a number of connections from 1 to 1024.`);
    if (c.atMost(1)) p.pool = n;
  }),
  "redis-probe-auth": row((c, p) => {
    const words = c.args.slice(1);
    if (words.length < 1 || words.length > 2) return c.alert("'redis-probe-auth' expects [<user>] <password>.");
    p.probeAuth = words;
  }),
  "redis-read": row((c, p) => {
    const v = c.args[1];
    if (v !== "master" && v !== "replica" && v !== "prefer-replica")
      return c.alert(`'redis-read' expects 'master', 'replica' or 'prefer-replica' but got '${v ?? ""}'.`);
    p.read = v;
    if (c.args[2] === undefined) return;
    const t = c.args[2] === "max-lag" ? readTime(c.args[3] ?? "", "ms") : null;
    if (t === null || t.error !== "") return c.alert("'redis-read' expects optionally 'max-lag' <time> behind its first word.");
    p.readMaxLagMs = t.ms;
  }),
  "redis-replay": row((c, p) => {
    const v = c.args[1];
    if (v !== "readonly" && v !== "idempotent" && v !== "none")
      return c.alert(`'redis-replay' expects 'readonly', 'idempotent' or 'none' but got '${v ?? ""}'.`);
    p.replay = v;
  }),
  "redis-user": row((c, p) => {
    const [, name, password, ...rules] = c.args;
    if (name === undefined || password === undefined)
      return c.alert(
        "'redis-user' expects <name> <password> and optionally rules: +<command> -<command> +@<category> -@<category> ~<pattern>.",
      );
    for (const r of rules)
      if (!/^([+-]@?[a-zA-Z|_-]+|~.*)$/.test(r))
        return c.alert(`'redis-user' : unknown rule '${r}', use +cmd -cmd +@category -@category ~pattern.`);
    p.users.push({ name, password, rules });
  }),
  sentinel: row((c, p) => {
    const name = c.args[1];
    if (name === undefined || c.args[2] === undefined)
      return c.alert("'sentinel' expects <master name> and one or more <host>:<port> as arguments.");
    for (const text of c.args.slice(2)) {
      const a = readAddress(text);
      if (typeof a === "string") return c.alert(`'sentinel' : ${a}`);
      p.sentinels.push({ name, host: a.host, port: a.portLow < 0 ? 26379 : a.portLow });
    }
  }),
};
