// The load of one run: as fast as it goes, or at a rate.
import http from "k6/http";

const connections = Number(__ENV.CONNECTIONS);
const duration = `${__ENV.SECONDS_LONG}s`;
const rate = Number(__ENV.RATE_PER_S);

export const options = {
  discardResponseBodies: true,
  scenarios: {
    load: rate
      ? { executor: "constant-arrival-rate", rate, timeUnit: "1s", duration, preAllocatedVUs: connections, maxVUs: connections, gracefulStop: "1s" }
      : { executor: "constant-vus", vus: connections, duration, gracefulStop: "1s" },
  },
};

export default function () {
  http.get(__ENV.TARGET_URL);
}
