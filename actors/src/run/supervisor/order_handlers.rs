//! Orders as the supervisor takes them: each is applied at once, and answered once it is heard.

use actix::prelude::*;

use super::{Answer, Supervisor};
use crate::run::orders::{GetStatus, RestartRun, SetRate, StartRun, StopMode, StopRun};
use crate::run::states::OrderKind;

impl Handler<StartRun> for Supervisor {
    type Result = Answer;

    fn handle(&mut self, order: StartRun, ctx: &mut Context<Self>) -> Answer {
        let answer = self.apply(OrderKind::Start, Some(order.plan), StopMode::Drain, ctx);
        self.answer(answer)
    }
}

impl Handler<StopRun> for Supervisor {
    type Result = Answer;

    fn handle(&mut self, order: StopRun, ctx: &mut Context<Self>) -> Answer {
        let answer = self.stop(&order, ctx);
        self.answer(answer)
    }
}

impl Handler<RestartRun> for Supervisor {
    type Result = Answer;

    fn handle(&mut self, order: RestartRun, ctx: &mut Context<Self>) -> Answer {
        let answer = self.restart(order, ctx);
        self.answer(answer)
    }
}

impl Handler<SetRate> for Supervisor {
    type Result = Answer;

    fn handle(&mut self, order: SetRate, ctx: &mut Context<Self>) -> Answer {
        let answer = self.set_rate(&order, ctx);
        self.answer(answer)
    }
}

impl Handler<GetStatus> for Supervisor {
    type Result = MessageResult<GetStatus>;

    fn handle(&mut self, _: GetStatus, _ctx: &mut Context<Self>) -> Self::Result {
        MessageResult(self.status())
    }
}
