import { at, query, type AttemptPage, type OrderStory, type Verdict } from "../api";
import type { PageProps } from "../console";
import { AttemptList, Empty, link, Loaded, Section, State, Waits } from "../parts";
import { useAsk, useTitle } from "../use";
import { isID } from "./subscription";

/** Search looks for one text as the id of a subscription, of an order, and of an event. */
export function Search({ place }: PageProps) {
  const q = place.search.get("q")?.trim() ?? "";
  useTitle(q ? `${q}: search` : "Search");
  const subscription = useAsk<Verdict>(isID(q) ? at`api/v1/statuses/${q}` : null);
  const order = useAsk<OrderStory>(q ? query("api/v1/orders", { order: q }) : null);
  const event = useAsk<AttemptPage>(q ? query("api/v1/attempts", { event: q, limit: 20 }) : null);
  if (!q) return <><h1>Search</h1><Empty>Enter the id of an order, an event or a subscription above.</Empty></>;
  const story = order.value && (order.value.events.length || order.value.standings.length) ? order.value : undefined;
  const asking = subscription.asking || order.asking || event.asking;
  const nothing = !asking && !subscription.value && !story && !event.value?.items.length && !order.failure;
  return (
    <>
      <h1><span class="quiet">Search</span> {q}</h1>
      {asking && <Waits />}
      {nothing && <Empty>No order, event or subscription has this id. Ids must match exactly: check upper and lower case.</Empty>}
      {subscription.value && <Section title="Subscription"><p><a href={link.subscription(q)}>{q}</a> <State of={subscription.value.state} /> {subscription.value.hears}</p></Section>}
      {order.failure && <Section title="Order"><Loaded of={order}>{() => null}</Loaded></Section>}
      {story && <Section title="Order"><p><a href={link.order(q)}>Order {q}</a>: {story.says}</p></Section>}
      {!!event.value?.items.length && <Section title="Event"><AttemptList items={event.value.items} /></Section>}
    </>
  );
}
