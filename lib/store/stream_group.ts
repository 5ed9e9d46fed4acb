/**
 * Consumer groups of streams: who was given what and has not acknowledged it. Warm.
 *
 *   Group      lastId, entriesRead, pending: IdMap of Pending, consumers by name
 *   Consumer   its own part of the same Pending objects
 *
 * Pending entries are JS objects, counted into used memory by an estimate. Names are latin1 strings; lists of them are in byte order.
 */
import { countExternal } from "./arena.ts";
import { IdMap, type StreamId } from "./stream_id.ts";

/** Bytes counted for a pending entry: the object and its places in two maps. */
const PENDING_BYTES = 136;
const CONSUMER_BYTES = 200;
/** entriesRead of a group whose position is not known in numbers. */
export const UNKNOWN_READS = -1;

/** An entry that was delivered and not acknowledged. Group.deliver changes it. */
export interface Pending {
  /** null only while a file is loaded or XCLAIM FORCE makes one. */
  consumer: Consumer | null;
  deliveredMs: number;
  deliveries: number;
}

export class Consumer {
  readonly name: string;
  /** Last attempt, and last success (-1: none yet), unix ms. */
  seenMs: number;
  activeMs: number;
  readonly pending: IdMap<Pending>;

  constructor(name: string, nowMs: number) {
    this.name = name;
    this.seenMs = nowMs;
    this.activeMs = -1;
    this.pending = new IdMap();
  }
}

/** A group as it was when its stream was frozen. */
export interface GroupView {
  name: string;
  lastId: StreamId;
  entriesRead: number;
  pending: IdMap<Pending>;
  consumers: { name: string; seenMs: number; activeMs: number; pending: IdMap<Pending> }[];
}

export class Group {
  lastId: StreamId;
  entriesRead: number;
  readonly pending: IdMap<Pending>;
  readonly consumers: Map<string, Consumer>;
  /** A save reads the pending entries: none of them changes, others take their place. */
  frozen: boolean;

  constructor(lastId: StreamId, entriesRead: number) {
    this.lastId = lastId;
    this.entriesRead = entriesRead;
    this.frozen = false;
    this.pending = new IdMap();
    this.consumers = new Map();
  }

  /** The group as it is now: good until something changes, or, when `frozen` is set, for ever. */
  view(name: string): GroupView {
    const consumers = [];
    for (const c of this.consumers.values())
      consumers.push({ name: c.name, seenMs: c.seenMs, activeMs: c.activeMs, pending: c.pending.snapshot() });
    return { name, lastId: this.lastId, entriesRead: this.entriesRead, pending: this.pending.snapshot(), consumers };
  }

  byteSize(): number {
    return this.pending.size * PENDING_BYTES + this.consumers.size * CONSUMER_BYTES;
  }

  /** A new consumer; null when there is one of this name. */
  addConsumer(name: string, nowMs: number): Consumer | null {
    if (this.consumers.has(name)) return null;
    const consumer = new Consumer(name, nowMs);
    this.consumers.set(name, consumer);
    countExternal(CONSUMER_BYTES);
    return consumer;
  }

  /** Removes a consumer with all that is pending for it. */
  removeConsumer(consumer: Consumer): void {
    for (const [id] of consumer.pending) this.pending.delete(id);
    countExternal(-CONSUMER_BYTES - consumer.pending.size * PENDING_BYTES);
    this.consumers.delete(consumer.name);
  }

  /** Adds a pending entry whose id is not pending yet. */
  addPending(id: StreamId, consumer: Consumer | null, deliveredMs: number, deliveries: number): Pending {
    const pending: Pending = { consumer, deliveredMs, deliveries };
    this.pending.set(id, pending);
    consumer?.pending.set(id, pending);
    countExternal(PENDING_BYTES);
    return pending;
  }

  /** Gives a pending entry to a consumer. */
  give(id: StreamId, pending: Pending, consumer: Consumer): void {
    if (pending.consumer === consumer) return;
    pending.consumer?.pending.delete(id);
    pending.consumer = consumer;
    consumer.pending.set(id, pending);
  }

  /** Notes another delivery of a pending entry: the entry as it is from now on. */
  deliver(id: StreamId, pending: Pending, deliveredMs: number, deliveries: number): Pending {
    if (!this.frozen) {
      pending.deliveredMs = deliveredMs;
      pending.deliveries = deliveries;
      return pending;
    }
    const fresh: Pending = { consumer: pending.consumer, deliveredMs, deliveries };
    this.pending.set(id, fresh);
    fresh.consumer?.pending.set(id, fresh);
    return fresh;
  }

  /** Strikes an entry; false when it is not pending. */
  acknowledge(id: StreamId): boolean {
    const pending = this.pending.get(id);
    if (pending === undefined) return false;
    this.pending.delete(id);
    pending.consumer?.pending.delete(id);
    countExternal(-PENDING_BYTES);
    return true;
  }

  /** The consumers in byte order of their names. */
  sortedConsumers(): Consumer[] {
    return [...this.consumers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  clone(): Group {
    const to = new Group(this.lastId, this.entriesRead);
    for (const consumer of this.consumers.values()) {
      const copy = to.addConsumer(consumer.name, consumer.seenMs)!;
      copy.activeMs = consumer.activeMs;
    }
    for (const [id, p] of this.pending)
      to.addPending(id, p.consumer === null ? null : to.consumers.get(p.consumer.name)!, p.deliveredMs, p.deliveries);
    return to;
  }

  /** Takes the group out of the books. */
  release(): void {
    countExternal(-this.byteSize());
  }
}
