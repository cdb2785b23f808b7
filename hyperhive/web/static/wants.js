// What a page wants to hear of. An interest is {topics, agent}: the first words of kinds,
// and whom an event is about; null stands for all.

const topic = (kind) => kind.split("_", 1)[0];

export const wants = (interests, event) =>
  interests.some(
    ({ topics, agent }) =>
      (topics === null || topics.includes(topic(event.kind)) || topics.includes(event.kind)) &&
      (agent === null || event.agent === agent),
  );
