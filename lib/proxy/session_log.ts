/** The log line of a finished session: tcplog, or the frontend's own log-format (HAProxy configuration 8.2). WARM. */
import { logDate } from "../log/haproxy_line.ts";
import type { Session } from "./session.ts";
import { nowMs } from "./timers.ts";

/** What tcplog stands for. */
export const TCPLOG = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";

export function logSession(s: Session): void {
  const { front } = s;
  const format = front.config.logFormat;
  if (front.log.isSilent || format === "") return;
  const options = front.config.options;
  if (options.has("dontlognull") && s.bytesUp === 0 && s.bytesDown === 0) return;
  const failed = s.flags !== "--";
  if (options.has("dontlog-normal") && !failed && s.retried === 0) return;
  const text = format === "tcplog" || format === "httplog" || format === "httpslog" ? tcplog(s) : expand(s, format);
  front.log.log(failed && options.has("log-separate-errors") ? 3 : 6, text);
}

function tcplog(s: Session): string {
  return expand(s, TCPLOG);
}

/** Values of the aliases that make sense without HTTP; unknown ones are empty (`-`). */
function alias(s: Session, name: string): string {
  const total = Math.round(nowMs() - s.acceptedMs);
  const c = s.client;
  switch (name) {
    case "ci":
      return c.path === "" ? c.remoteAddress : "unix";
    case "cp":
      return String(c.path === "" ? c.remotePort : s.client.id);
    case "fi":
      return c.localAddress || "unix";
    case "fp":
      return String(c.localPort);
    case "bi":
      return s.lastServer?.localAddress || "-";
    case "bp":
      return String(s.lastServer?.localPort ?? "-");
    case "si":
      return s.target?.host || "-";
    case "sp":
      return String(s.target?.port ?? "-");
    case "t":
      return logDate(new Date(s.acceptedAt));
    case "ms":
      return String(s.acceptedAt % 1000).padStart(3, "0");
    case "Ts":
      return String(Math.floor(s.acceptedAt / 1000));
    case "ft":
    case "f":
      return s.front.name;
    case "b":
      return s.back?.name ?? s.front.name;
    case "s":
      return (s.target ?? s.wants)?.name ?? "<NOSRV>";
    case "Tw":
      return String(s.waitedMs < 0 && s.flags.endsWith("Q") && s.flags !== "SQ" ? total : s.waitedMs);
    case "Tc":
      return String(s.connectedMs);
    case "Tt":
    case "Tu":
      return String(total);
    case "Td":
      return String(s.connectedMs < 0 ? -1 : Math.max(0, total - s.waitedMs - s.connectedMs));
    case "Th":
      return "0";
    case "B":
      return String(s.bytesDown);
    case "U":
      return String(s.bytesUp);
    case "ts":
      return s.flags;
    case "tsc":
      return `${s.flags}--`;
    case "ac":
      return String(s.engine.active);
    case "fc":
      return String(s.front.active);
    case "bc":
      // Its own place is given back before the line is written.
      if (s.back !== null) return String(s.back.active - 1);
      return String(s.engine.backends.get(s.front.name)?.active ?? 0);
    case "sc":
      return String(((s.target ?? s.wants)?.active ?? 0) - (s.target?.sessions.has(s) === true ? 1 : 0));
    case "rc":
      return `${s.redispatched ? "+" : ""}${s.retried}`;
    case "sq":
      return String(s.srvQueueAhead);
    case "bq":
      return String(s.backQueueAhead);
    case "H":
      return process.env["HOSTNAME"] ?? "-";
    case "pid":
      return String(process.pid);
    case "rt":
      return String(s.client.id);
    default:
      return "-";
  }
}

/** A log-format: `%alias`, `%{+Q}alias`, `%[sample]` (only the few that need no HTTP), `%%`. */
export function expand(s: Session, format: string): string {
  return format.replace(
    /%%|%(?:\{([^}]*)\})?(?:\[([^\]]*)\]|([A-Za-z]+))/g,
    (all, flags: string | undefined, sample: string | undefined, name: string) => {
      if (all === "%%") return "%";
      const value = sample === undefined ? known(s, name) : fetched(s, sample);
      return flags?.includes("+Q") ? `"${value}"` : value;
    },
  );
}

/** Aliases are not separated from following letters by anything: the longest known one counts. */
const NAMES = ["tsc", "pid", "ci", "cp", "fi", "fp", "bi", "bp", "si", "sp", "ms", "Ts", "ft", "Tw", "Tc", "Tt", "Tu", "Td", "Th", "ts", "ac", "fc", "bc", "sc", "rc", "sq", "bq", "rt", "t", "f", "b", "s", "B", "U", "H"]; // prettier-ignore
function known(s: Session, name: string): string {
  const found = NAMES.find((n) => name.startsWith(n));
  return found === undefined ? "-" : alias(s, found) + name.slice(found.length);
}
function fetched(s: Session, sample: string): string {
  switch (sample) {
    case "src":
      return alias(s, "ci");
    case "src_port":
      return alias(s, "cp");
    case "dst":
      return alias(s, "fi");
    case "dst_port":
      return alias(s, "fp");
    case "be_name":
      return alias(s, "b");
    case "fe_name":
      return alias(s, "f");
    default:
      return "-";
  }
}
