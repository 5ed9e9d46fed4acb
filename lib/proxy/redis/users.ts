/** The proxy's own users (redis-user): who may log in, and what they may do. COLD. */
import type { RedisClient } from "./client.ts";

export interface Users {
  /** Answer to everything before a login. */
  readonly loginFirst: Buffer;
  /** Answer to a login in the midst of a transaction or subscription. */
  readonly notNow: Buffer;
  /** HELLO or AUTH of a client: an answer, or what to ask the server instead; SELECT passes. */
  login(client: RedisClient, words: string[]): Buffer | string[] | null;
}
