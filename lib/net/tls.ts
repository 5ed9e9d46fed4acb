/**
 * What Bun's TLS needs to be told in another way than its options suggest. COLD.
 *
 * Bun judges a server's certificate by chain and name together. Redis looks at the chain alone, HAProxy at a name only when one is asked
 * for; so Bun is told to accept every certificate and we judge what it has found (`acceptsPeer`).
 */
import type { TLSOptions } from "bun";

/** Which certificates of a server are good enough: `chain` must lead to a known CA, `name` must also be for the host, `none`: any. */
export type PeerCheck = "chain" | "name" | "none";

/** The SSL_OP_* numbers of BoringSSL's headers that are asked for. */
export const SSL_OP = {
  noTicket: 0x00004000,
  preferServerCiphers: 0x00400000,
  noTls1: 0x04000000,
  noTls12: 0x08000000,
  noTls11: 0x10000000,
  noTls13: 0x20000000,
} as const;

/** The name in the certificate is not that of the host; the chain was found good before that is asked. */
const WRONG_NAME = "ERR_TLS_CERT_ALTNAME_INVALID";
/** The handshake itself failed. */
const NO_HANDSHAKE = new Set(["EPROTO", "ECONNRESET", "EPIPE", "ETIMEDOUT"]);

/** An outgoing handshake is over with this error, or none: is the peer good enough? */
export function acceptsPeer(check: PeerCheck, error: Error | null): boolean {
  if (error === null) return true;
  const { code = "" } = error as { code?: string };
  if (check === "none") return !NO_HANDSHAKE.has(code);
  return check === "chain" && code === WRONG_NAME;
}

/** How `options` ask for the server's certificate to be checked: the way node:tls says it. */
export function peerCheckOf(options: TLSOptions | boolean): PeerCheck {
  if (typeof options === "boolean") return "name";
  if (options.rejectUnauthorized === false) return "none";
  return "checkServerIdentity" in options ? "chain" : "name";
}

/** A client has shown a certificate, be it good or bad. */
export function hasPeerCertificate(socket: unknown): boolean {
  const peer = (socket as { getPeerX509Certificate?(): unknown }).getPeerX509Certificate?.();
  return peer !== undefined && peer !== null;
}

/** Why nobody could listen with these options (certificate, key, ciphers), or null. Opens a port of the loopback for a moment. */
export function tlsFailure(tls: TLSOptions): string | null {
  try {
    Bun.listen({ hostname: "127.0.0.1", port: 0, tls, socket: { data() {} } }).stop(true);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
