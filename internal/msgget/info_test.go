package msgget

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

func TestDoubt(t *testing.T) {
	t.Parallel()
	peer := func(name string, active time.Duration) *jetstream.PeerInfo {
		return &jetstream.PeerInfo{Name: name, Active: active}
	}
	for _, tt := range []struct {
		name    string
		cluster *jetstream.ClusterInfo
		sure    bool
	}{
		{"one server", nil, true},
		{"one replica in a cluster", &jetstream.ClusterInfo{Leader: "a"}, true},
		{"all answer", &jetstream.ClusterInfo{Leader: "a", Replicas: []*jetstream.PeerInfo{peer("b", time.Second), peer("c", 2*time.Second)}}, true},
		{"one is down", &jetstream.ClusterInfo{Leader: "a", Replicas: []*jetstream.PeerInfo{peer("b", time.Second), peer("c", time.Hour)}}, true},
		{"no leader", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer("a", time.Second), peer("b", time.Second), peer("c", time.Second)}}, false},
		{"a follower", &jetstream.ClusterInfo{Leader: "b", Replicas: []*jetstream.PeerInfo{peer("b", time.Second), peer("c", time.Second)}}, false},
		{"cut off", &jetstream.ClusterInfo{Leader: "a", Replicas: []*jetstream.PeerInfo{peer("b", 5*time.Second), peer("c", 6*time.Second)}}, false},
		{"never heard of anybody", &jetstream.ClusterInfo{Leader: "a", Replicas: []*jetstream.PeerInfo{peer("b", 0), peer("c", 0)}}, false},
	} {
		if got := doubt(&jetstream.StreamInfo{Cluster: tt.cluster}); (got == "") != tt.sure {
			t.Errorf("%s: doubt %q", tt.name, got)
		}
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tt := range []struct {
		name           string
		created, since time.Duration // ago
		want           bool
	}{
		{"for long", time.Hour, time.Minute, true},
		{"just elected", time.Hour, 5 * time.Second, false},
		{"elected with the stream", 2 * time.Second, time.Second, true},
	} {
		since := now.Add(-tt.since)
		info := &jetstream.StreamInfo{Created: now.Add(-tt.created), TimeStamp: now,
			Cluster: &jetstream.ClusterInfo{Leader: "a", LeaderSince: &since, Replicas: []*jetstream.PeerInfo{{Name: "b"}, {Name: "c"}}}}
		if got := Settled(info); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
	if !Settled(&jetstream.StreamInfo{}) {
		t.Error("a single server has no former leader")
	}
}

// A stream at rest hears of its replicas too; while a leader is being elected
// there is no answer.
func TestInfoOnACluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for a cluster")
	}
	js := lab.ClusterOf(t)[0]
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	info := func() (info *jetstream.StreamInfo) {
		lab.Eventually(t, "the leader answers", func() bool {
			var err error
			info, err = Info(ctx, js, "S")
			if err != nil && !errors.Is(err, ErrNoLeader) {
				t.Fatal(err)
			}
			return err == nil
		})
		return info
	}
	first := info()
	// On a slow machine an election takes longer than that.
	if !Settled(first) && first.Cluster.LeaderSince.Sub(first.Created) < limits.ReplicaContact {
		t.Errorf("elected with the stream, but not settled: created %s, leader since %v", first.Created, first.Cluster.LeaderSince)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); { // without a single write
		if _, err := Info(ctx, js, "S"); err != nil && !errors.Is(err, ErrNoLeader) {
			t.Fatalf("a stream at rest: %v", err)
		}
		<-time.After(100 * time.Millisecond)
	}
	info() // a slow machine may have kept its servers from each other for a moment
	if _, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN.S", nil); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "another leads", func() bool {
		i, err := Info(ctx, js, "S")
		return err == nil && i.Cluster.Leader != first.Cluster.Leader
	})
	if i := info(); Settled(i) && i.TimeStamp.Sub(*i.Cluster.LeaderSince) <= limits.FormerLeaderTime {
		t.Error("a leader of a moment ago counts as settled")
	}
	if _, err := Info(ctx, js, "NONE"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("no stream: %v", err)
	}
}
