/** Of two libraries without types, what tests use. */
declare module "express-session" {
  export class Store {}
  export default function session(options: Record<string, unknown>): (request: never, response: never, next: () => void) => void;
}
declare module "redlock" {
  interface Lock {
    value: string;
    extend(ttlMs: number): Promise<Lock>;
    unlock(): Promise<void>;
  }
  export default class Redlock {
    constructor(clients: unknown[], options: { retryCount?: number; retryDelay?: number; retryJitter?: number });
    lock(resource: string | string[], ttlMs: number): Promise<Lock>;
  }
}
