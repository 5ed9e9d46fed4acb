/** What can only be said once all files are read: references between sections, missing timeouts, servers without ports. COLD. */
import type { Context } from "./haproxy_context.ts";
import { isBackend, isFrontend, kindText, type ProxyConfig } from "./haproxy_model.ts";

/** Checks every proxy in file order and puts implicit tcp-check connects in. */
export function finish(c: Context): void {
  for (const p of c.config.proxies) {
    references(c, p);
    timeouts(c, p);
  }
  for (const p of c.config.proxies) if (isBackend(p)) servers(c, p);
}

function references(c: Context, p: ProxyConfig): void {
  const backend = (name: string): ProxyConfig | undefined => c.config.proxies.find((b) => b.name === name && isBackend(b));
  if (p.disabled) return;
  if (isFrontend(p)) {
    for (const name of [p.defaultBackend, ...p.useBackend.map((r) => r.target)]) {
      const b = backend(name);
      if (b !== undefined && (b.mode === "redis") !== (p.mode === "redis"))
        c.alertText(
          `${kindText(p)} '${p.name}' in mode ${p.mode} tries to use ${kindText(b)} '${name}' in mode ${b.mode}: both need 'mode redis'.`,
        );
    }
    if (p.defaultBackend !== "" && backend(p.defaultBackend) === undefined)
      c.alertText(`Proxy '${p.name}': unable to find required default_backend: '${p.defaultBackend}'.`);
    for (const rule of p.useBackend)
      if (backend(rule.target) === undefined) c.alertText(`Proxy '${p.name}': unable to find required use_backend: '${rule.target}'.`);
  }
  for (const rule of p.useServer)
    if (!p.servers.some((s) => s.name === rule.target))
      c.alertText(`backend '${p.name}' : unable to find server '${rule.target}' referenced in a 'use-server' rule.`);
  if (isFrontend(p) && p.binds.length === 0)
    c.warnText(`${kindText(p)} '${p.name}' has no 'bind' directive. Please declare it as a backend if this was intended.`);
  if (p.mode === "http" && isBackend(p) && p.servers.length > 0)
    c.warnText(
      `${kindText(p)} '${p.name}' is in mode http, which redisha does not proxy: statistics, metrics and monitor-uri are answered, the rest is not.`,
    );
}

function servers(c: Context, p: ProxyConfig): void {
  if (p.tcpCheck.length > 0 && p.check !== "tcp-check" && p.servers.length > 0)
    c.warnText(`${kindText(p)} '${p.name}' uses tcp-check rules without 'option tcp-check', so the rules are ignored.`);
  if (p.httpCheck.steps.length > 0 && p.check !== "httpchk" && p.servers.length > 0)
    c.warnText(`${kindText(p)} '${p.name}' uses http-check rules without 'option httpchk', so the rules are ignored.`);
  const seen = new Map<string, number>();
  for (const s of p.servers) {
    const before = seen.get(s.name);
    if (before !== undefined)
      c.alertText(
        `parsing [${s.file}:${s.line}] : ${kindText(p)} '${p.name}', another server named '${s.name}' was already defined at line ${before}, please use distinct names.`,
      );
    else seen.set(s.name, s.line);
    if (s.minconn >= s.maxconn) {
      // No ramp then: the higher of the two is the limit.
      s.maxconn = s.minconn;
      s.minconn = 0;
    }
    if (s.track !== "") track(c, p, s.track, s.name, `${s.file}:${s.line}`);
    const explicit = p.check === "tcp-check" && p.tcpCheck.some((r) => r.kind === "connect" && r.port > 0);
    if (s.check && s.path === "" && !s.host.startsWith("_") && s.portIsOffset && s.checkPort === 0 && !explicit)
      c.alertText(`config: ${kindText(p)} '${p.name}': server '${s.name}' has neither service port nor check port.`);
  }
  const first = p.tcpCheck.find((r) => r.kind !== "comment");
  if (p.check === "tcp-check" && (first === undefined || first.kind !== "connect"))
    p.tcpCheck = [
      {
        kind: "connect",
        file: "",
        line: 0,
        useDefault: true,
        port: 0,
        host: "",
        ssl: false,
        sni: "",
        alpn: "",
        sendProxy: false,
        linger: false,
        comment: "",
        implicit: true,
      },
      ...p.tcpCheck,
    ];
}

function track(c: Context, p: ProxyConfig, target: string, name: string, at: string): void {
  const slash = target.indexOf("/");
  const proxyName = slash < 0 ? p.name : target.slice(0, slash);
  const serverName = slash < 0 ? target : target.slice(slash + 1);
  const other = c.config.proxies.find((b) => b.name === proxyName && isBackend(b));
  if (other === undefined)
    return c.alertText(`[${at}] : 'server ${p.name}/${name}' : unable to find required proxy '${proxyName}' for tracking.`);
  const found = other.servers.find((s) => s.name === serverName);
  if (found === undefined)
    return c.alertText(`[${at}] : 'server ${p.name}/${name}' : unable to find required server '${serverName}' for tracking.`);
  if (!found.check && found.track === "")
    c.alertText(
      `[${at}] : 'server ${p.name}/${name}' : unable to use ${proxyName}/${serverName} for tracking as it does not have any check nor agent enabled.`,
    );
}

function timeouts(c: Context, p: ProxyConfig): void {
  if (p.disabled) return;
  if (isBackend(p) && p.mode === "redis" && p.servers.length + p.sentinels.length + p.cluster.length === 0)
    c.alertText(`${kindText(p)} '${p.name}' in mode redis has no server, no 'sentinel' and no 'redis-cluster' line.`);
  if (new Set(p.sentinels.map((s) => s.name)).size > 1)
    c.alertText(`${kindText(p)} '${p.name}' : 'sentinel' lines name several masters; one section serves one.`);
  const t = p.timeouts;
  const clientMissing = isFrontend(p) && !t.client;
  const serverMissing = isBackend(p) && p.servers.length > 0 && (!t.connect || !t.server);
  if (clientMissing || serverMissing)
    c.warnText(
      `missing timeouts for ${kindText(p)} '${p.name}'.\n` +
        "   | While not properly invalid, you will certainly encounter various problems\n" +
        "   | with such a configuration. To fix this, please ensure that all following\n" +
        "   | timeouts are set to a non-zero value: 'client', 'connect', 'server'.",
    );
}
