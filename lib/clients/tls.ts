/**
 * TLS of a server or Sentinel, as the tls-* directives have it: options for listeners and for outgoing links. COLD.
 *
 *   tls-* --configure()--> `listening` (tls-port), `dialling` (tls-replication: master, replicas, other Sentinels)
 *
 * Files are read when a directive is set, so a renewed certificate counts after CONFIG SET of its name; what cannot be used leaves the old
 * options in place. Follows Redis 7.2 tls.c tlsConfigure. BoringSSL decides what there is: the suites of TLS 1.3 cannot be chosen
 * (tls-ciphersuites is checked and told in the log), DH parameters and the size of the session cache mean nothing to it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TLSOptions } from "bun";
import { strerror } from "../bytes/errno.ts";
import { systemPath } from "../bytes/path.ts";
import type { Config } from "../config/config.ts";
import type { DirectiveName, StringName } from "../config/redis_rows.ts";
import type { Log } from "../log/log.ts";
import { SSL_OP, tlsFailure } from "../net/tls.ts";

/** All directives that change a context when they change. */
export const TLS_DIRECTIVES = [
  "tls-replication",
  "tls-cluster",
  "tls-auth-clients",
  "tls-prefer-server-ciphers",
  "tls-session-caching",
  "tls-session-cache-size",
  "tls-session-cache-timeout",
  "tls-cert-file",
  "tls-key-file",
  "tls-key-file-pass",
  "tls-client-cert-file",
  "tls-client-key-file",
  "tls-client-key-file-pass",
  "tls-dh-params-file",
  "tls-ca-cert-file",
  "tls-ca-cert-dir",
  "tls-protocols",
  "tls-ciphers",
  "tls-ciphersuites",
] as const satisfies readonly DirectiveName[];

export const TLS_NOT_UPDATED = "Unable to update TLS configuration. Check server logs.";

const PROTOCOLS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const;
const PROTOCOL_OFF = [SSL_OP.noTls1, SSL_OP.noTls11, SSL_OP.noTls12, SSL_OP.noTls13];
const TLS_1_0 = 0x0301;
/** What BoringSSL always offers in TLS 1.3, and what OpenSSL has beside it. */
const SUITES = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const OTHER_SUITES = ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];
/** How OpenSSL names the files of a directory of CA certificates. */
const HASHED_NAME = /^[0-9a-f]{8}\.\d+$/;

/** A refusal: what goes into the log. */
class Refused extends Error {}

export class Tls {
  private readonly config: Config;
  private readonly log: Log;
  /** For tls-port; null while TLS has not been asked for. */
  listening: TLSOptions | null;
  private client: TLSOptions | null;

  constructor(config: Config, log: Log) {
    this.config = config;
    this.log = log;
    this.listening = null;
    this.client = null;
  }

  /** Somebody speaks TLS: a listener or a link. */
  get isWanted(): boolean {
    const { config } = this;
    return config.number("tls-port") !== 0 || config.bool("tls-replication") || config.bool("tls-cluster");
  }

  /** For a link to a master, a replica or another Sentinel; null: without TLS. */
  get dialling(): TLSOptions | null {
    return this.config.bool("tls-replication") ? this.client : null;
  }

  /** Reads everything anew. False: it cannot be used, the log says why, and nothing has changed. */
  configure(): boolean {
    try {
      const listening = this.server();
      const client = this.outgoing();
      this.listening = listening;
      this.client = client;
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.log.warning(error.message);
      return false;
    }
  }

  private server(): TLSOptions {
    const { config } = this;
    const auth = config.choice("tls-auth-clients");
    if (config.text("tls-cert-file") === "") throw new Refused("No tls-cert-file configured!");
    if (config.text("tls-key-file") === "") throw new Refused("No tls-key-file configured!");
    const ca = this.authorities();
    if (ca === null && (auth !== "no" || config.bool("tls-replication") || config.bool("tls-cluster")))
      throw new Refused(
        "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or tls-auth-clients are enabled!",
      );
    const options: TLSOptions = {
      ...this.pair("tls-cert-file", "tls-key-file", "tls-key-file-pass"),
      ...this.common(ca),
      requestCert: auth !== "no",
      rejectUnauthorized: auth === "yes",
    };
    if (config.bool("tls-prefer-server-ciphers")) options.secureOptions! |= SSL_OP.preferServerCiphers;
    if (!config.bool("tls-session-caching")) options.secureOptions! |= SSL_OP.noTicket;
    const dh = config.text("tls-dh-params-file");
    if (dh !== "") this.read(dh, `Failed to load ${dh}`);
    return this.tried(options, config.text("tls-cert-file"));
  }

  /** With the client's certificate where there is one, else with the server's. The peer's chain is checked, not its name. */
  private outgoing(): TLSOptions {
    const { config } = this;
    const own = config.text("tls-client-cert-file") !== "" && config.text("tls-client-key-file") !== "";
    const pair = own
      ? this.pair("tls-client-cert-file", "tls-client-key-file", "tls-client-key-file-pass")
      : this.pair("tls-cert-file", "tls-key-file", "tls-key-file-pass");
    const options = { ...pair, ...this.common(this.authorities()) };
    return {
      ...this.tried(options, config.text(own ? "tls-client-cert-file" : "tls-cert-file")),
      checkServerIdentity: () => undefined,
    } as TLSOptions;
  }

  private pair(cert: StringName, key: StringName, pass: StringName): TLSOptions {
    const { config } = this;
    const options: TLSOptions = {
      cert: this.read(config.text(cert), `Failed to load certificate: ${config.text(cert)}`),
      key: this.read(config.text(key), `Failed to load private key: ${config.text(key)}`),
    };
    if (config.text(pass) !== "") options.passphrase = config.text(pass);
    return options;
  }

  private common(ca: string[] | null): TLSOptions {
    const { config } = this;
    const options: TLSOptions & { minVersion?: number } = { secureOptions: 0 };
    if (ca !== null) options.ca = ca;
    const wanted = this.protocols();
    for (const [i, off] of PROTOCOL_OFF.entries()) if (!wanted.includes(PROTOCOLS[i])) options.secureOptions! |= off;
    if (wanted.includes("TLSv1") || wanted.includes("TLSv1.1")) options.minVersion = TLS_1_0;
    if (config.text("tls-ciphers") !== "") options.ciphers = config.text("tls-ciphers");
    this.checkSuites();
    return options;
  }

  private protocols(): readonly string[] {
    const text = this.config.text("tls-protocols");
    if (text === "") return ["TLSv1.2", "TLSv1.3"];
    const words = text.split(" ").filter((word) => word !== "");
    const known = words.map((word) => PROTOCOLS.find((p) => p.toLowerCase() === word.toLowerCase()));
    if (known.includes(undefined))
      throw new Refused("Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'.");
    return known as string[];
  }

  private checkSuites(): void {
    const text = this.config.text("tls-ciphersuites");
    if (text === "") return;
    const suites = text.split(":");
    if (suites.some((s) => !SUITES.includes(s) && !OTHER_SUITES.includes(s)) || !suites.some((s) => SUITES.includes(s)))
      throw new Refused(`Failed to configure ciphersuites: ${text}`);
    const more = SUITES.filter((s) => !suites.includes(s));
    if (more.length > 0)
      this.log.warning(`WARNING: tls-ciphersuites cannot leave suites of TLS 1.3 out; ${more.join(", ")} are offered as well.`);
  }

  /** PEM texts of the CAs: the file, and what a directory has under OpenSSL's hashed names. */
  private authorities(): string[] | null {
    const file = this.config.text("tls-ca-cert-file");
    const directory = this.config.text("tls-ca-cert-dir");
    if (file === "" && directory === "") return null;
    const what = "Failed to configure CA certificate(s) file/directory";
    const texts = file === "" ? [] : [this.read(file, what)];
    if (directory === "") return texts;
    try {
      for (const name of readdirSync(systemPath(directory)).sort())
        if (HASHED_NAME.test(name)) texts.push(this.read(join(directory, name), what));
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw new Refused(`${what}: ${strerror(error)}`);
    }
    return texts;
  }

  private read(path: string, what: string): string {
    try {
      return readFileSync(systemPath(path), "utf8");
    } catch (error) {
      throw new Refused(`${what}: ${strerror(error)}`);
    }
  }

  private tried(options: TLSOptions, cert: string): TLSOptions {
    const failed = tlsFailure(options);
    if (failed === null) return options;
    if (/cipher/i.test(failed) && options.ciphers !== undefined) throw new Refused(`Failed to configure ciphers: ${options.ciphers}`);
    if (/\bCA\b/.test(failed)) throw new Refused(`Failed to configure CA certificate(s) file/directory: ${failed}`);
    throw new Refused(`Failed to load certificate: ${cert}: ${failed}`);
  }
}
