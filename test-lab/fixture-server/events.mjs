// Events of one session's streams, kept so that a client can come back for what it missed.

const KEPT = 1000;

export class Events {
  #events = new Map();
  #next = 0;

  async storeEvent(streamId, message) {
    const id = `${streamId}_${this.#next++}`;
    this.#events.set(id, { streamId, message });
    if (this.#events.size > KEPT) this.#events.delete(this.#events.keys().next().value);
    return id;
  }

  async getStreamIdForEventId(id) {
    return this.#events.get(id)?.streamId;
  }

  async replayEventsAfter(lastId, { send }) {
    const streamId = this.#events.get(lastId)?.streamId;
    let passed = false;
    for (const [id, event] of this.#events) {
      // An event without a body only opened the stream.
      if (passed && event.streamId === streamId && Object.keys(event.message).length > 0) await send(id, event.message);
      passed ||= id === lastId;
    }
    return streamId ?? '';
  }
}
