package share_test

import (
	"context"
	"testing"

	"orderbridge/internal/share"
)

func TestPool(t *testing.T) {
	t.Parallel()
	p := share.New[string](64)
	take := func(key string) (n int, give func()) {
		for {
			g, ok := p.Take(key)
			if !ok {
				return n, give
			}
			give = g
			n++
		}
	}
	greedy, give := take("greedy")
	if greedy != 32 {
		t.Errorf("one alone gets %d of 64", greedy)
	}
	second, _ := take("second")
	if second != 16 {
		t.Errorf("whoever comes then gets %d", second)
	}
	if third, _ := take("third"); third != 8 {
		t.Errorf("whoever comes then gets %d", third)
	}
	give()
	give()
	if n, _ := take("greedy"); n != 0 {
		t.Errorf("who holds more than its share gets %d more", n)
	}
}

// A place that is given back twice is one place.
func TestGivenBackTwice(t *testing.T) {
	t.Parallel()
	taken := func(times int) (n int) {
		p := share.New[int](8)
		give, _ := p.Take(0)
		for range times {
			give()
		}
		for key := range 100 {
			if _, ok := p.Take(key); ok {
				n++
			}
		}
		return n
	}
	if once, twice := taken(1), taken(2); once != twice || once == 0 {
		t.Errorf("%d places after one was given back once, %d after twice", once, twice)
	}
}

func TestPoolWaits(t *testing.T) {
	t.Parallel()
	p := share.New[int](2)
	give, ok := p.Take(1)
	if !ok {
		t.Fatal("there is no place in an empty pool")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := p.Wait(ended, 1); ok {
		t.Error("a share is exceeded")
	}
	got := make(chan bool)
	go func() {
		_, ok := p.Wait(t.Context(), 1)
		got <- ok
	}()
	give()
	if !<-got {
		t.Error("no place after one was given back")
	}
}
