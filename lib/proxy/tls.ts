/**
 * TLS options of `bind ... ssl` and `server ... ssl` lines, read from their files (HAProxy configuration 5.1 and 5.2). COLD.
 * A PEM file may hold certificate, chain and key; else the key lies beside it as FILE.key. Left out: certificate lists and directories with
 * several names, CRLs, cipher lists per line.
 */
import { existsSync, readFileSync, statSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { TLSOptions } from "bun";
import type { BindConfig, ServerConfig } from "../config/haproxy_model.ts";

/** Options, or why they cannot be had (HAProxy's words where it has some). */
export type TlsResult = { tls: TLSOptions } | { error: string };

/** The certificate of a file, or of the first file of a directory, with its key. */
function certificate(path: string): { cert: string; key: string } | string {
  try {
    const file = statSync(path).isDirectory() ? join(path, readdirSync(path).sort()[0] ?? "") : path;
    const cert = readFileSync(file, "utf8");
    if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(cert)) return { cert, key: cert };
    const beside = `${file}.key`;
    if (!existsSync(beside)) return `No Private Key found in '${beside}' or '${file}'.`;
    return { cert, key: readFileSync(beside, "utf8") };
  } catch {
    return `unable to stat SSL certificate from file '${path}' : No such file or directory.`;
  }
}

export function tlsOfBind(bind: BindConfig): TlsResult {
  const path = bind.tls["crt"]?.[0];
  if (path === undefined)
    return { error: `no SSL certificate specified for bind '${bind.text}' at [${bind.file}:${bind.line}] (use 'crt').` };
  const pair = certificate(path);
  if (typeof pair === "string") return { error: pair };
  const tls: TLSOptions = { ...pair };
  const verify = bind.tls["verify"]?.[0] ?? "none";
  const ca = bind.tls["ca-file"]?.[0];
  if (verify !== "none") {
    const text = ca === undefined ? null : read(ca);
    if (text === null)
      return { error: `verify is enabled but no CA file specified for bind '${bind.text}' at [${bind.file}:${bind.line}].` };
    Object.assign(tls, { ca: text, requestCert: true, rejectUnauthorized: verify === "required" });
  }
  const alpn = bind.tls["alpn"]?.[0];
  if (alpn !== undefined) Object.assign(tls, { ALPNProtocols: alpn.split(",") });
  return { tls };
}

/** `sni str(name)` gives the name to ask for; other expressions have no value here. */
export function tlsOfServer(s: ServerConfig): TlsResult {
  const tls: TLSOptions & { checkServerIdentity?: () => undefined } = {};
  const sni = /^str\((.*)\)$/.exec(s.tls["sni"]?.[0] ?? "")?.[1];
  const name = s.tls["verifyhost"]?.[0] ?? sni;
  if (sni !== undefined) tls.serverName = sni;
  else if (name !== undefined) tls.serverName = name;
  const verify = s.tls["verify"]?.[0] ?? "required";
  if (verify === "none") tls.rejectUnauthorized = false;
  else {
    const ca = s.tls["ca-file"]?.[0];
    if (ca === undefined)
      return {
        error: `verify is enabled by default but no CA file specified. If you're running on a LAN where you're certain to trust the server's certificate, please set an explicit 'verify none' statement on the 'server' line, or use 'ssl-server-verify none' in the global section to disable server-side verifications by default.`,
      };
    if (!ca.startsWith("@")) {
      const text = read(ca);
      if (text === null) return { error: `unable to load CA file '${ca}'.` };
      tls.ca = text;
    }
    // Only the chain is checked unless a name is asked for.
    if (name === undefined) tls.checkServerIdentity = () => undefined;
  }
  const crt = s.tls["crt"]?.[0];
  if (crt !== undefined) {
    const pair = certificate(crt);
    if (typeof pair === "string") return { error: pair };
    Object.assign(tls, pair);
  }
  return { tls };
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
