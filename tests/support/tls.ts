/** TLS for tests: the certificates of tests/support/tls, configurations with them, redis-cli over TLS, a peer that looks at the certificate. */
import { join } from "node:path";
import { connect as connectTls, type PeerCertificate } from "node:tls";
import { readFileSync } from "node:fs";
import { originals } from "./programs.ts";

export const file = (name: string): string => join(import.meta.dir, "tls", name);

/** Directives of a server or Sentinel of `tests/support/tls`; links over TLS, too. */
export const TLS_CONF = {
  "tls-cert-file": file("server.crt"),
  "tls-key-file": file("server.key"),
  "tls-client-cert-file": file("client.crt"),
  "tls-client-key-file": file("client.key"),
  "tls-ca-cert-file": file("ca.crt"),
  "tls-replication": "yes",
};

const CERTIFICATE = ["--cert", file("client.crt"), "--key", file("client.key")];

/** redis-cli over TLS; with a client's certificate unless `certificate` says otherwise. */
export async function tlsCli(port: number, args: string[], certificate: readonly string[] = CERTIFICATE): Promise<string> {
  const words = [originals.cli, "-p", String(port), "--tls", "--cacert", file("ca.crt"), ...certificate, ...args];
  const p = Bun.spawn(words, { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const [out, err] = await Promise.all([new Response(p.stdout).text(), new Response(p.stderr).text()]);
  await p.exited;
  return (out + err).trimEnd();
}

/** What a TLS handshake comes to: the name in the server's certificate, protocol and cipher; or the error's text. */
export function handshake(
  port: number,
  options: Record<string, unknown> = {},
): Promise<{ name: string; protocol: string; cipher: string } | string> {
  return new Promise((resolve) => {
    const pair = { cert: readFileSync(file("client.crt")), key: readFileSync(file("client.key")), ca: readFileSync(file("ca.crt")) };
    const socket = connectTls({ host: "127.0.0.1", port, checkServerIdentity: () => undefined, ...pair, ...options }, () => {
      const name = String((socket.getPeerCertificate() as PeerCertificate).subject.CN);
      resolve({ name, protocol: socket.getProtocol() ?? "", cipher: socket.getCipher().name });
      socket.end();
    });
    socket.on("error", (error) => resolve(error.message));
    socket.on("close", () => resolve("closed"));
  });
}
